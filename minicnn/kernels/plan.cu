// Kernels of the compiled evaluation (engine/gpu/plan.py). Maps are (H, W, C), channels last, float32.
// `column` is what the matrix products read: float, or the bits of a half.

#ifdef HALF_COLUMNS
typedef unsigned short column;
#ifdef __CUDACC__
__device__ inline column as_column(float value)
{
    column bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#else
__device__ inline column as_column(float value) { return half_bits(value); }
#endif
#else
typedef float column;
__device__ inline column as_column(float value) { return value; }
#endif

typedef Pack<float, 4> four;
typedef Pack<column, 4> four_columns;

// A power of two that brings numbers of at most the magnitude with these bits below 2^14.
__device__ inline float scale_for(unsigned magnitude_bits)
{
    int exponent = int(magnitude_bits >> 23) - 127;  // of the largest number; -127 if all are 0
    exponent = max(-100, min(100, 13 - exponent));
    return __uint_as_float(unsigned(exponent + 127) << 23);
}

// Twin: np.abs(x).max(), as the bits of a float: of positive floats the larger has the larger bits, and
// a maximum of integers is the same in any order. `largest` must be 0 before; n counts fours of x. With few
// blocks, one number of each goes to the one place in memory where all of them meet.
KERNEL find_largest(const float* __restrict__ x, unsigned* __restrict__ largest, unsigned n)
{
    __shared__ unsigned of_block;
    if (threadIdx.x == 0) of_block = 0;
    __syncthreads();
    unsigned mine = 0;
    EACH (i, n) {
        four numbers = brought<4>(x + 4 * i);
        for (int k = 0; k < 4; ++k) mine = max(mine, __float_as_uint(fabsf(numbers.c[k])));
    }
    atomicMax(&of_block, mine);
    __syncthreads();
    if (threadIdx.x == 0) atomicMax(largest, of_block);
}

// 4 channels from c of the pixel (h, w) of x (H, W, C), scaled; 0 beside the picture, and where `active`, of
// the same shape, is not above 0: then x is a gradient behind a ReLU.
__device__ inline four_columns window_part(const float* x, const float* active, float scale, int h, int w,
                                           int c, int H, int W, int C)
{
    four_columns out = {};
    if (inside(h, w, H, W)) {
        unsigned where = (h * W + w) * C + c;
        four in = brought<4>(x + where);
        four gate = active ? brought<4>(active + where) : in;
        for (int k = 0; k < 4; ++k) out.c[k] = as_column(!active || gate.c[k] > 0 ? in.c[k] * scale : 0.0f);
    }
    return out;
}

// Twin: ops/im2col.py, im2col, of output rows p0 .. with windows as rows and channels last. A thread
// copies 4 channels of one place (r, s) for RUN neighbours q, so that its divisions are paid once for RUN
// stores; n counts threads, of which a row of Q takes ceil(Q / RUN) R S C / 4.
//   rows[p,q,r,s,c] = x[p + r - pad, q + s - pad, c]
// With `active`, of x's shape, the gradient x is let through where active > 0: ops/relu.py, backward. With
// `largest` the columns are scaled, and alpha[0] = 1 / (scale * weight_scale) undoes it after the product.
KERNEL windows(const float* __restrict__ x, const float* __restrict__ active,
               const unsigned* __restrict__ largest, column* __restrict__ rows,
               float* __restrict__ alpha, float weight_scale, int H, int W, int C, int R, int S,
               int pad_h, int pad_w, int p0, int Q, unsigned n)
{
    float scale = largest ? scale_for(*largest) : 1.0f;
    if (largest && blockIdx.x == 0 && threadIdx.x == 0) alpha[0] = 1.0f / (scale * weight_scale);
    EACH (i, n) {
        unsigned t = i;
        int c = 4 * take(t, C / 4), s = take(t, S), r = take(t, R), first = RUN * take(t, (Q + RUN - 1) / RUN);
        int h = p0 + int(t) + r - pad_h, left = min(RUN, Q - first);
        unsigned width = R * S * C;
        column* to = rows + (t * Q + first) * width + (r * S + s) * C + c;
        #pragma unroll
        for (int k = 0; k < RUN; ++k) {
            if (k >= left) break;
            put(to + k * width, window_part(x, active, scale, h, first + k + s - pad_w, c, H, W, C));
        }
    }
}

// Twin: max(y + b, 0): ops/conv2d.py's bias and ops/relu.py, in place; y (n / C, C)
KERNEL bias_relu(float* __restrict__ y, const float* __restrict__ b, int C, unsigned n)
{
    EACH (i, n) {
        float value = y[i] + b[i % C];
        y[i] = value <= 0 ? 0.0f : value;
    }
}

// Twin: objectives.py, content. partial: sum of (f - target)²; df = factor (f - target), or += that.
KERNEL content_term(const float* __restrict__ f, const float* __restrict__ target,
                    float* __restrict__ df, double* __restrict__ partials, float factor, int add,
                    unsigned n)
{
    double sum = 0;
    EACH (i, n) {
        float difference = f[i] - target[i];
        sum += double(difference) * difference;
        df[i] = factor * difference + (add ? df[i] : 0.0f);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Twin: objectives.py, style, without its products. partial: sum of (G / M - target)²;
// slope = factor (G / M - target), so that df = F slope
KERNEL style_term(const float* __restrict__ gram, const float* __restrict__ target,
                  float* __restrict__ slope, double* __restrict__ partials, float per_position,
                  float factor, unsigned n)
{
    double sum = 0;
    EACH (i, n) {
        float difference = gram[i] * per_position - target[i];
        sum += double(difference) * difference;
        slope[i] = factor * difference;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Twin: priors.py, tv, of x (channels, H, W) with a weight for each channel.
// partial: sum of weight[c] (down² + right²); dx = its derivative times factor
KERNEL tv_term(const float* __restrict__ x, const float* __restrict__ weight, float* __restrict__ dx,
               double* __restrict__ partials, float factor, int H, int W, unsigned n)
{
    double sum = 0;
    EACH (i, n) {
        unsigned t = i;
        int w = take(t, W), h = take(t, H);
        float here = x[i];
        float up = h > 0 ? here - x[i - W] : 0, down = h < H - 1 ? x[i + W] - here : 0;
        float left = w > 0 ? here - x[i - 1] : 0, right = w < W - 1 ? x[i + 1] - here : 0;
        sum += double(weight[t]) * (double(down) * down + double(right) * right);
        dx[i] = 2 * factor * weight[t] * (up - down + left - right);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Twin: x.transpose(1, 2, 0) of a picture (C, H W), with zeros up to `padded` channels
KERNEL channels_last(const float* __restrict__ x, float* __restrict__ y, int C, int padded, int pixels,
                     unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int c = take(t, padded);
        y[i] = c < C ? x[c * pixels + t] : 0.0f;
    }
}

// Twin: y += x.transpose(2, 0, 1)[:C], back from there; y (C, H W)
KERNEL add_channels_first(const float* __restrict__ x, float* __restrict__ y, int padded, int pixels,
                          unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int pixel = take(t, pixels);
        y[i] += x[pixel * padded + t];
    }
}
