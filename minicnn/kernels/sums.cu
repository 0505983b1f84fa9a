// Sums in float64, in an order that nothing changes. A kernel that sums is launched with a fixed number
// of blocks; each leaves one partial sum, and `total` adds those up.

// Add up one number of each thread of the block; thread 0 gets the sum. The block has a power of two.
static __device__ inline double block_sum(double mine)
{
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}

// Twin: totals = factors * partials.sum(axis=1), partials (blocks of this launch, count)
KERNEL total(const double* __restrict__ partials, const double* __restrict__ factors,
             double* __restrict__ totals, int count)
{
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += partials[blockIdx.x * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) totals[blockIdx.x] = factors[blockIdx.x] * sum;
}

// Twin: optimizers/vectors.py, dot. The blocks leave partial sums of a[i] b[i].
KERNEL dot(const real* __restrict__ a, const real* __restrict__ b, double* __restrict__ partials,
           unsigned n)
{
    double sum = 0;
    EACH (i, n) sum += double(a[i]) * double(b[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Twin: vectors.dot of many pairs of vectors. `pairs` (count, 2) has their addresses; count divides the
// number of blocks, and each pair gets the same share of them: partials (count, share).
KERNEL dots(const unsigned long long* __restrict__ pairs, double* __restrict__ partials, int count, unsigned n)
{
    unsigned pair = blockIdx.x % count, part = blockIdx.x / count, share = gridDim.x / count;
    const real *a = (const real*)pairs[2 * pair], *b = (const real*)pairs[2 * pair + 1];
    double sum = 0;
    for (unsigned i = part * blockDim.x + threadIdx.x; i < n; i += share * blockDim.x)
        sum += double(a[i]) * double(b[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[pair * share + part] = sum;
}

// Twin: y = factors @ vectors, in float64. `vectors` has the addresses of `count` of them.
KERNEL combine(const unsigned long long* __restrict__ vectors, const double* __restrict__ factors,
               real* __restrict__ y, int count, unsigned n)
{
    EACH (i, n) {
        double sum = 0;
        for (int k = 0; k < count; ++k) sum += factors[k] * double(((const real*)vectors[k])[i]);
        y[i] = real(sum);
    }
}

// Twin: optimizers/vectors.py, add_scaled. y += factor x
KERNEL add_scaled(real* __restrict__ y, const real* __restrict__ x, real factor, unsigned n)
{
    EACH (i, n) y[i] += factor * x[i];
}
