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

// N numbers next to each other in memory, brought or written at once
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack { T c[N]; };

template <int N, class T>
__device__ inline Pack<T, N> brought(const T* from) { return *(const Pack<T, N>*)from; }

template <int N, class T>
__device__ inline void put(T* to, const Pack<T, N>& numbers) { *(Pack<T, N>*)to = numbers; }

// work(pack), whose pack.N is how many channels a thread does: `lanes`, 4 or 1
template <int COUNT> struct Lanes { static const int N = COUNT; };

template <class Work>
__device__ inline void by_lanes(int lanes, const Work& work)
{
    if (lanes == 4) work(Lanes<4>());
    else work(Lanes<1>());
}

__device__ inline bool inside(int h, int w, int H, int W)
{
    return h >= 0 && h < H && w >= 0 && w < W;
}
