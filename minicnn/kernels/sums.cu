// Sums in float64, in an order that nothing changes. A kernel that sums is launched with a fixed number
// of blocks; each leaves one partial sum, and `total` adds those up.

// Add up one number of each thread of the block; thread 0 gets the sum. The block has a power of two.
__device__ inline double block_sum(double mine)
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

// Twin: sums = rows @ v in float64, rows (R, n), v (n,): L-BFGS's products with its history. The blocks
// of row r leave partials[r, block of the row]; `each` is their number.
KERNEL row_products(const real* __restrict__ rows, const real* __restrict__ v,
                    double* __restrict__ partials, int each, unsigned n)
{
    unsigned row = blockIdx.x / each, block = blockIdx.x % each;
    const real* a = rows + (unsigned long long)row * n;
    double sum = 0;
    for (unsigned i = block * blockDim.x + threadIdx.x; i < n; i += each * blockDim.x)
        sum += double(a[i]) * double(v[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Twin: out = factors @ rows, rows (count, n), each element summed in float64: L-BFGS's direction
KERNEL combine_rows(const double* __restrict__ factors, const real* __restrict__ rows,
                    real* __restrict__ out, int count, unsigned n)
{
    EACH (i, n) {
        double sum = 0;
        for (int r = 0; r < count; ++r) sum += factors[r] * double(rows[(unsigned long long)r * n + i]);
        out[i] = sum;
    }
}
