// A convolution of stride 1 that never writes its columns, an "implicit GEMM" by tensor cores:
//
//     y[m,k] = alpha Σ_j a[m,j] w[k,j]  and then max(y + b[k], 0)      m = p Q + q,  j = (r S + s) C + c
//     a[m,j] = x[p + r - pad_h, q + s - pad_w, c]                      what `windows` writes
//
// x and w are rounded before: to float16, or to the 10 bits of tf32 (`as_map`). A block of 4 warps makes a
// tile of y, part by part of j. A part is 64 bytes of every row of the tile in a and in w; while one is
// multiplied, the two behind it are on their way to shared memory. There the 16 bytes `chunk` of a row lie at
// chunk ^ row / 2 % 4, so that 8 rows are read, and written, without two of them in the same banks. What does
// not change from part to part is computed before: where each row of a begins, and in a bit for each place
// (r, s) whether it is inside the picture. The sum over j is in one fixed order.

const int TILE_THREADS = 128, TILE_M = 128, WARP_N = 64, STAGES = 3;
const int CHUNK = 16, ROW = 64, CHUNKS = ROW / CHUNK;  // bytes copied at once, and of a row in a part
const int ROWS = TILE_THREADS / CHUNKS;                // that all threads copy at once
const int AT_ONCE = CHUNK / sizeof(column), DEPTH = ROW / sizeof(column);  // the same in numbers

typedef Pack<float, 2> two;

// to the 10 bits of tf32, to nearest
__device__ inline float as_tf32(float value)
{
    return value == value ? __uint_as_float(__float_as_uint(value) + 0x1000 & 0xffffe000) : value;
}

// Twin: ops/relu.py, backward, of x, n fours of C channels each pixel, rounded for the tensor cores: to
// float16, or to tf32 if `tf32`. x is let through where `active`, of x's shape, is above 0, or where
// `positive` says so, the bits that `convolve` leaves, of pixels from `first`; without both everywhere.
// `largest` and alpha as for `windows`.
KERNEL as_map(const float* __restrict__ x, const float* __restrict__ active,
              const unsigned* __restrict__ positive, const unsigned* __restrict__ largest,
              column* __restrict__ map, float* __restrict__ alpha, float weight_scale, int tf32, int C,
              unsigned first, unsigned n)
{
    float scale = largest ? scale_for(*largest) : 1.0f;
    if (largest && blockIdx.x == 0 && threadIdx.x == 0) alpha[0] = 1.0f / (scale * weight_scale);
    EACH (i, n) {
        four in = brought<4>(x + 4 * i);
        if (active) {
            four gate = brought<4>(active + 4 * i);
            for (int k = 0; k < 4; ++k) in.c[k] = gate.c[k] > 0 ? in.c[k] : 0.0f;
        }
        if (positive) {
            unsigned m = i, c = 4 * take(m, C / 4);
            m += first;
            Pack<unsigned, 2> bits = brought<2>(positive + (m / 8 * (C / 8) + c / 8) * 2);
            for (int k = 0; k < 4; ++k)
                if (!(bits.c[k % 2] >> (m % 8 * 4 + c % 8 / 2 + k / 2) & 1)) in.c[k] = 0;
        }
        four_columns out;
        for (int k = 0; k < 4; ++k) out.c[k] = as_column(tf32 ? as_tf32(in.c[k] * scale) : in.c[k] * scale);
        put(map + 4 * i, out);
    }
}

// A tile of 128 x 64 WARPS_N; `shared` has place for STAGES parts.
template <int WARPS_N>
__device__ void convolve_tile(const column* x, const column* w, const float* alpha, const float* b, float* y,
                              unsigned* positive, int H, int W, int C, int R, int S, int pad_h, int pad_w,
                              int P, int Q, int K, Shared shared)
{
    const int TILE_N = WARP_N * WARPS_N, WARP_M = TILE_M * WARPS_N / (TILE_THREADS / 32);
    const int A = TILE_M / ROWS, B = TILE_N / ROWS, STAGE = (TILE_M + TILE_N) * ROW;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int M = P * Q, J = R * S * C, across = (K + TILE_N - 1) / TILE_N;
    int m0 = blockIdx.x / across * TILE_M, n0 = blockIdx.x % across * TILE_N;

    // This thread copies the same chunk of rows 32 apart.
    int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    unsigned write = row * ROW + (chunk ^ row / 2 % CHUNKS) * CHUNK;
    int begins[A], filters[B];
    unsigned taps[A];
    #pragma unroll
    for (int i = 0; i < A; ++i) {
        int m = m0 + row + i * ROWS, h = m / Q - pad_h, v = m % Q - pad_w;
        begins[i] = (h * W + v) * C;
        taps[i] = 0;
        #pragma unroll 1
        for (int r = 0, tap = 0; r < R; ++r)
            #pragma unroll 1
            for (int s = 0; s < S; ++s, ++tap)
                taps[i] |= unsigned(m < M && inside(h + r, v + s, H, W)) << tap;
    }
    #pragma unroll
    for (int i = 0; i < B; ++i) filters[i] = min(n0 + row + i * ROWS, K - 1) * J;  // sums behind K are not read

    int c = chunk * AT_ONCE, j = c, from = c, s = 0;  // from = (r W + s) C + c
    unsigned tap = 1;
    auto to_next_place = [&] {
        while (c >= C) {
            c -= C;
            tap <<= 1;
            if (++s == S) s = 0, from += (W - S) * C;
        }
    };
    to_next_place();
    auto bring = [&](Shared stage) {
        #pragma unroll
        for (int i = 0; i < A; ++i)
            copy_later(stage + write + i * ROWS * ROW, x + (begins[i] + from), taps[i] & tap);
        #pragma unroll
        for (int i = 0; i < B; ++i)
            copy_later(stage + write + (TILE_M + i * ROWS) * ROW, w + (filters[i] + j), j < J);
        end_of_copies();
        c += DEPTH, j += DEPTH, from += DEPTH;
        to_next_place();
    };

    // It reads row lane % 16 of each 16 of its warp's in a, and the like in w.
    int own_m = warp / WARPS_N * WARP_M, own_n = warp % WARPS_N * WARP_N;
    unsigned a_row = own_m + lane % 16, w_row = TILE_M + own_n + lane / 16 * 8 + lane % 8;
    unsigned read_a = a_row * ROW + (lane / 16 ^ lane / 2 % 4) * CHUNK;
    unsigned read_w = w_row * ROW + (lane / 8 % 2 ^ lane / 2 % 4) * CHUNK;
    float sums[WARP_M / 16][WARP_N / 8][4] = {};
    auto multiply = [&](Shared stage) {
        #pragma unroll
        for (unsigned half = 0; half < ROW; half += 2 * CHUNK) {
            unsigned left[WARP_M / 16][4], right[WARP_N / 8][2];
            #pragma unroll
            for (int i = 0; i < WARP_M / 16; ++i)
                load_squares(left[i], stage + (read_a ^ half) + i * 16 * ROW);
            #pragma unroll
            for (int i = 0; i < WARP_N / 16; ++i)
                load_squares(right[2 * i], stage + (read_w ^ half) + i * 16 * ROW);
            #pragma unroll
            for (int i = 0; i < WARP_M / 16; ++i)
                #pragma unroll
                for (int n = 0; n < WARP_N / 8; ++n) multiply_16_by_8(sums[i][n], left[i], right[n]);
        }
    };

    int parts = (J + DEPTH - 1) / DEPTH, now = 0, last = STAGES - 1;  // what is brought behind J is 0
    for (int i = 0; i < last; ++i) bring(shared + i * STAGE);
    for (int part = 0; part < parts; ++part) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        bring(shared + last * STAGE);
        multiply(shared + now * STAGE);
        now = now == STAGES - 1 ? 0 : now + 1;
        last = last == STAGES - 1 ? 0 : last + 1;
    }
    wait_for_copies<0>();

    float factor = alpha ? *alpha : 1.0f;
    int k0 = n0 + own_n + lane % 4 * 2;
    #pragma unroll
    for (int i = 0; i < WARP_M / 8; ++i) {
        int m = m0 + own_m + 8 * i + lane / 4;
        float* out = y + (unsigned(m) * K + k0);
        unsigned* words = positive + (m / 8 * (K / 8) + k0 / 8) * 2;
        #pragma unroll
        for (int n = 0; n < WARP_N / 8; ++n) {
            bool there = m < M && k0 + 8 * n < K;
            two values;
            for (int e = 0; e < 2; ++e) {
                float value = factor * sums[i / 2][n][i % 2 * 2 + e];
                if (b && there) value += b[k0 + 8 * n + e];
                values.c[e] = b && value <= 0 ? 0.0f : value;
            }
            if (there) put(out + 8 * n, values);
            if (!positive) continue;
            Pack<unsigned, 2> bits;
            for (int e = 0; e < 2; ++e) bits.c[e] = said_by_lanes(there && values.c[e] > 0);
            if (lane == 0 && there) put(words + 2 * n, bits);
        }
    }
}

// Twin: ops/conv2d.py, forward, then ops/relu.py; C and K multiples of 8, R S at most 32. x (H, W, C),
// w (K, R S C), alpha (1) or none, b (K) or none and then no ReLU. `positive` or none: for 8 pixels in the
// order of y and 8 channels two words, bit 4 (m % 8) + k % 8 / 2 of word k % 2 is y[m,k] > 0.
KERNEL convolve(const column* __restrict__ x, const column* __restrict__ w, const float* __restrict__ alpha,
                const float* __restrict__ b, float* __restrict__ y, unsigned* __restrict__ positive, int H,
                int W, int C, int R, int S, int pad_h, int pad_w, int P, int Q, int K)
{
    alignas(128) __shared__ char parts[STAGES * (TILE_M + 128) * ROW];
    convolve_tile<2>(x, w, alpha, b, y, positive, H, W, C, R, S, pad_h, pad_w, P, Q, K, shared_place(parts));
}

// Twin: the same, in tiles of 128 x 64.
KERNEL convolve_narrow(const column* __restrict__ x, const column* __restrict__ w,
                       const float* __restrict__ alpha, const float* __restrict__ b, float* __restrict__ y,
                       unsigned* __restrict__ positive, int H, int W, int C, int R, int S, int pad_h,
                       int pad_w, int P, int Q, int K)
{
    alignas(128) __shared__ char parts[STAGES * (TILE_M + 64) * ROW];
    convolve_tile<1>(x, w, alpha, b, y, positive, H, W, C, R, S, pad_h, pad_w, P, Q, K, shared_place(parts));
}
