// A convolution of stride 1 that never writes its columns, an "implicit GEMM" (plan.cu's layout):
//
//     y[m,k] = alpha Σ_j a[m,j] w[k,j]  and then max(y + b[k], 0)      m = p Q + q,  j = (r S + s) C + c
//     a[m,j] = x[p + r - pad_h, q + s - pad_w, c]                      what `windows` writes
//
// A block makes tiles of y. For some j at a time it brings what they need of a and w to shared memory, while
// the next part is already on its way to its registers. A warp makes 64 x 32 of a tile, as 4 x 4 products of
// 16 x 8, whose numbers lie with the threads where mma.sync has them (PTX ISA, "matrix fragments"). With
// lane = 4 g + t: of the result rows g, g + 8 and columns 2 t, 2 t + 1; of a the words (g, t), (g + 8, t),
// (g, t + 4), (g + 8, t + 4); of w the words (g, t), (g, t + 4). A word is one number of tf32, or two of float16
// with neighbouring j, and stands in the same place for both. The sum over j is in one fixed order.

const int TILE_THREADS = THREADS < 128 ? THREADS : 128;
const int WARPS = TILE_THREADS / 32, WARPS_N = WARPS > 1 ? 2 : 1;
const int WARP_M = 64, WARP_N = 32, TILE_M = WARP_M * WARPS / WARPS_N, TILE_N = WARP_N * WARPS_N;
const int WORDS = 16, PITCH = WORDS + 4;            // of j; the lanes (g, t) read 32 different banks
const int PER_WORD = 4 / int(sizeof(column)), DEPTH = WORDS * PER_WORD;
const int FOURS = DEPTH / 4, ROWS = TILE_THREADS / FOURS;  // threads beside and below each other when copying
const int FOUR_WORDS = 4 / PER_WORD;
const int NOWHERE = -16384;                         // a row so far above the picture that nothing is there

struct alignas(8) two { float first, second; };
typedef unsigned Words[PITCH];
typedef float Sums[4][4][4];                        // of a thread: product below, product beside, its numbers

// d += a w of a warp: 16 x 8 words times 8 words x 8
__device__ inline void multiply_16_by_8(float* d, const unsigned* a, const unsigned* w)
{
#ifndef __CUDACC__
    cpu::mma(d, a, w, PER_WORD == 2);
#elif defined(HALF_COLUMNS) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(w[0]), "r"(w[1]));
#elif defined(HALF_COLUMNS)
    for (int half = 0; half < 2; ++half)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(w[half]));
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(w[0]), "r"(w[1]));
#endif
}

// float32 numbers: every thread multiplies for itself
struct Plain {
    static __device__ unsigned rounded(unsigned bits) { return bits; }

    static __device__ void multiply(Sums& sums, const Words* a, const Words* w, int g, int t)
    {
        for (int j = 0; j < WORDS; ++j) {
            float left[8], right[8];
            #pragma unroll
            for (int i = 0; i < 8; ++i) {
                left[i] = __uint_as_float(a[8 * i + g][j]);
                right[i] = __uint_as_float(w[8 * (i / 2) + 2 * t + i % 2][j]);
            }
            #pragma unroll
            for (int i = 0; i < 8; ++i)
                #pragma unroll
                for (int n = 0; n < 8; ++n) sums[i / 2][n / 2][2 * (i % 2) + n % 2] += left[i] * right[n];
        }
    }
};

// tf32 or float16 numbers: the warp multiplies, by its tensor cores
struct Tensor {
    static __device__ unsigned rounded(unsigned bits)
    {
#if !defined(__CUDACC__)
        return PER_WORD == 1 ? bits + 0x1000 & 0xffffe000 : bits;
#elif !defined(HALF_COLUMNS) && __CUDA_ARCH__ >= 800
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
#endif
        return bits;
    }

    static __device__ void multiply(Sums& sums, const Words* a, const Words* w, int g, int t)
    {
        #pragma unroll
        for (int j = t; j < WORDS; j += 8) {
            unsigned left[4][4], right[4][2];
            #pragma unroll
            for (int i = 0; i < 16; ++i) {
                left[i / 4][i % 4] = a[16 * (i / 4) + 8 * (i % 2) + g][j + i % 4 / 2 * 4];
                if (i < 8) right[i / 2][i % 2] = w[8 * (i / 2) + g][j + i % 2 * 4];
            }
            #pragma unroll
            for (int i = 0; i < 16; ++i) multiply_16_by_8(sums[i / 4][i % 4], left[i / 4], right[i % 4]);
        }
    }
};
#if defined(__CUDACC__) && __CUDA_ARCH__ < 800 && !defined(HALF_COLUMNS)
typedef Plain Fast;  // there is no tf32
#else
typedef Tensor Fast;
#endif

// what a thread has brought of the next part
struct Part {
    four_columns a[TILE_M / ROWS], w[TILE_N / ROWS];
};

struct alignas(4 * FOUR_WORDS) WordsOfFour { unsigned word[FOUR_WORDS]; };

template <class Method>
__device__ void put_words(unsigned* words, const four_columns& numbers)
{
    WordsOfFour out;
    memcpy(&out, &numbers, sizeof(out));
    for (int i = 0; i < FOUR_WORDS; ++i) out.word[i] = Method::rounded(out.word[i]);
    *(WordsOfFour*)words = out;
}

template <class Method>
__device__ void convolve_tiles(const float* x, const float* active, const unsigned* largest, const column* w,
                               const float* b, float* y, float weight_scale, int H, int W, int C, int R,
                               int S, int pad_h, int pad_w, int P, int Q, int K, Words* a_words,
                               Words* w_words)
{
    float scale = largest ? scale_for(*largest) : 1.0f, alpha = 1.0f / (scale * weight_scale);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    int beside = threadIdx.x % FOURS, below = threadIdx.x / FOURS;
    int M = P * Q, J = R * S * C, across = (K + TILE_N - 1) / TILE_N;
    int tiles = (M + TILE_M - 1) / TILE_M * across;
    int own_m = warp / WARPS_N * WARP_M, own_n = warp % WARPS_N * WARP_N;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        int m0 = tile / across * TILE_M, n0 = tile % across * TILE_N;
        int places[TILE_M / ROWS];  // row and column of the output, 16 bits each
        #pragma unroll
        for (int i = 0; i < TILE_M / ROWS; ++i) {
            int m = m0 + below + i * ROWS;
            places[i] = m < M ? m / Q << 16 | m % Q : NOWHERE * 65536;
        }
        Part part;
        auto bring = [&](int j0) {  // j0 + 4 beside and the three behind it are of one pixel of x
            unsigned j = j0 + 4 * beside, split = j;
            int c = take(split, C), s = take(split, S), r = split;
            #pragma unroll
            for (int i = 0; i < TILE_M / ROWS; ++i) {
                int h = (places[i] >> 16) + r - pad_h, v = (places[i] & 0xffff) + s - pad_w;
                part.a[i] = j < J ? window_part(x, active, scale, h, v, c, H, W, C) : four_columns{};
            }
            #pragma unroll
            for (int i = 0; i < TILE_N / ROWS; ++i) {
                unsigned k = n0 + below + i * ROWS;
                part.w[i] = j < J && k < K ? *(const four_columns*)(w + k * J + j) : four_columns{};
            }
        };
        Sums sums = {};
        bring(0);
        for (int j0 = 0; j0 < J; j0 += DEPTH) {
            #pragma unroll
            for (int i = 0; i < TILE_M / ROWS; ++i)
                put_words<Method>(a_words[below + i * ROWS] + beside * FOUR_WORDS, part.a[i]);
            #pragma unroll
            for (int i = 0; i < TILE_N / ROWS; ++i)
                put_words<Method>(w_words[below + i * ROWS] + beside * FOUR_WORDS, part.w[i]);
            __syncthreads();
            if (j0 + DEPTH < J) bring(j0 + DEPTH);
            Method::multiply(sums, a_words + own_m, w_words + own_n, g, t);
            __syncthreads();
        }
        #pragma unroll
        for (int i = 0; i < 32; ++i) {  // pairs of neighbours; K is even
            int m = m0 + own_m + 8 * (i / 4) + g, k = n0 + own_n + 8 * (i % 4) + 2 * t;
            if (m >= M || k >= K) continue;
            const float* own = sums[i / 8][i % 4] + 2 * (i / 4 % 2);
            float first = alpha * own[0], second = alpha * own[1];
            if (b) first += b[k], second += b[k + 1];
            *(two*)(y + unsigned(m) * K + k) = {b && first <= 0 ? 0.0f : first, b && second <= 0 ? 0.0f : second};
        }
    }
}

// Twin: ops/conv2d.py, forward, and relu.py's where there is a bias; backward_data with flipped filters, and
// `active` as in `windows`. w (K, R S C) is columns times weight_scale; y (P, Q, K). Any number of blocks.
KERNEL convolve(const float* __restrict__ x, const float* __restrict__ active,
                const unsigned* __restrict__ largest, const column* __restrict__ w,
                const float* __restrict__ b, float* __restrict__ y, float weight_scale, int H, int W, int C,
                int R, int S, int pad_h, int pad_w, int P, int Q, int K)
{
    alignas(16) __shared__ Words a_words[TILE_M], w_words[TILE_N];
#ifdef HALF_COLUMNS
    typedef Tensor Method;
#else
    typedef Plain Method;
#endif
    convolve_tiles<Method>(x, active, largest, w, b, y, weight_scale, H, W, C, R, S, pad_h, pad_w, P, Q, K,
                           a_words, w_words);
}

// Twin: the same, of numbers rounded to the 10 bits of tf32 (or float16's, where the columns are).
KERNEL convolve_by_tensor_cores(const float* __restrict__ x, const float* __restrict__ active,
                                const unsigned* __restrict__ largest, const column* __restrict__ w,
                                const float* __restrict__ b, float* __restrict__ y, float weight_scale,
                                int H, int W, int C, int R, int S, int pad_h, int pad_w, int P, int Q, int K)
{
    alignas(16) __shared__ Words a_words[TILE_M], w_words[TILE_N];
    convolve_tiles<Fast>(x, active, largest, w, b, y, weight_scale, H, W, C, R, S, pad_h, pad_w, P, Q, K,
                         a_words, w_words);
}
