// The instructions of tensor cores, for which C++ has no words (PTX ISA, "matrix fragments"). A word is one
// number of tf32, or two of float16 that are neighbours, and stands in the same place for both. With lane =
// 4 g + t, a thread has of the left factor (16 rows of 8 words) the words (g, t), (g + 8, t), (g, t + 4),
// (g + 8, t + 4); of the right one (8 rows of 8 words) (g, t), (g, t + 4); of the sums (16 x 8) those of rows
// g and g + 8 in columns 2 t and 2 t + 1. In the tests `cpu` does what they do, lane by lane.
//
// Before sm_80 there are no copies that arrive later, and products of float16 are half as deep; before
// sm_75 there is nothing of it.

#if !defined(__CUDACC__)
typedef char* Shared;  // a place in shared memory
__device__ inline Shared shared_place(void* array) { return (char*)array; }
#else
typedef unsigned Shared;
__device__ inline Shared shared_place(void* array) { return unsigned(__cvta_generic_to_shared(array)); }
#endif

// 16 bytes of global memory for shared memory, zeros if they are not `there`; until `wait_for_copies` they
// may be on their way.
__device__ inline void copy_later(Shared to, const void* from, bool there)
{
#if !defined(__CUDACC__)
    cpu::copy_later(to, from, there);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
#else
    uint4 bytes = there ? *(const uint4*)from : uint4{};
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};"
                 ::"r"(to), "r"(bytes.x), "r"(bytes.y), "r"(bytes.z), "r"(bytes.w) : "memory");
#endif
}

// what this thread has copied since the last call belongs together
__device__ inline void end_of_copies()
{
#if !defined(__CUDACC__)
    cpu::end_of_copies();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// wait for all that this thread has copied but for the last N that belong together
template <int N>
__device__ inline void wait_for_copies()
{
#if !defined(__CUDACC__)
    cpu::wait_for_copies(N);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// four squares of 8 rows of 4 words; lane l says where row l % 8 of square l / 8 is, and gets (g, t) of each
__device__ inline void load_squares(unsigned* words, Shared row)
{
#if !defined(__CUDACC__)
    cpu::load_squares(words, row);
#elif __CUDA_ARCH__ < 750
    asm("trap;");  // engine/gpu/cuda.py does not come here
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(row) : "memory");
#endif
}

// sums += left right
__device__ inline void multiply_16_by_8(float* sums, const unsigned* left, const unsigned* right)
{
#define OPERANDS : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
#define WHOLE "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
    OPERANDS : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1])
#if !defined(__CUDACC__)
    cpu::multiply_16_by_8(sums, left, right, sizeof(column) == 2);
#elif defined(HALF_COLUMNS) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 " WHOLE);
#elif defined(HALF_COLUMNS) && __CUDA_ARCH__ >= 750
    for (int i = 0; i < 2; ++i)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            OPERANDS : "r"(left[2 * i]), "r"(left[2 * i + 1]), "r"(right[i]));
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 " WHOLE);
#else
    asm("trap;");  // nor with tf32 before sm_80
#endif
}

// bit l: what lane l has said
__device__ inline unsigned said_by_lanes(bool yes)
{
#if !defined(__CUDACC__)
    return cpu::said_by_lanes(yes);
#else
    return __ballot_sync(0xffffffff, yes);
#endif
}
