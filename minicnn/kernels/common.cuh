// What the kernels share. They are compiled as one source, this file first, by two compilers: NVRTC
// (through CuPy) for the GPU, and in the tests g++, after a header that lends it the words of CUDA.
//
// REAL is float or double. Every kernel writes all of its output or says that it adds to it. No sum of
// floating-point numbers uses atomics, and none depends on the size of the grid unless that is fixed: the
// same input gives the same bits.

typedef REAL real;

#define KERNEL extern "C" __global__ void

// i = the elements of this thread: any grid does any number n < 2^31 of them
#define EACH(i, n) \
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// split the innermost coordinate, of size n, off a flat index
__device__ inline int take(unsigned& index, int n)
{
    int coordinate = index % n;
    index /= n;
    return coordinate;
}

__device__ inline bool inside(int h, int w, int H, int W)
{
    return h >= 0 && h < H && w >= 0 && w < W;
}
