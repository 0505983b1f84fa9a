// The words of CUDA for g++, so that the kernels run on the CPU, one block at a time. Tests only.
//
// A kernel without barriers runs its threads in a loop. With barriers every thread is a fiber: it runs
// up to its next __syncthreads(), then the next thread does. All threads of a block must meet the same
// barrier (its line is compared), so a barrier that some of them miss is found; a barrier that is missing
// makes a thread read what another has not written yet. Shared memory is full of NaN before each block.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define BEFORE_SWITCH(fake, bottom, size) __sanitizer_start_switch_fiber(fake, bottom, size)
#define AFTER_SWITCH(fake, bottom, size) __sanitizer_finish_switch_fiber(fake, bottom, size)
#else
#define BEFORE_SWITCH(fake, bottom, size) (void)0
#define AFTER_SWITCH(fake, bottom, size) (void)0
#endif

struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __shared__ __attribute__((section("cpu_shared"))) static  // one block runs at a time
extern "C" char __start_cpu_shared[] __attribute__((weak)), __stop_cpu_shared[] __attribute__((weak));

using std::max;
using std::min;

static inline unsigned __float_as_uint(float value) { unsigned bits; memcpy(&bits, &value, 4); return bits; }
static inline float __uint_as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
static inline void atomicMax(unsigned* place, unsigned value) { *place = max(*place, value); }

// float to half, to nearest, ties to even: what cvt.rn.f16.f32 does
static inline unsigned short half_bits(float value)
{
    unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;                    // NaN
    if (magnitude >= 0x477ff000) return sign | 0x7c00;            // rounds to infinity
    if (magnitude < 0x38800000)                                   // subnormal: multiples of 2^-24
        return sign | (unsigned short)std::nearbyint(std::ldexp(std::fabs((double)value), 24));
    unsigned odd = magnitude >> 13 & 1;
    return sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

namespace cpu {

constexpr size_t STACK = 64 << 10;

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    int waits_at = 0;  // line of the barrier
    bool done = false;
    void* fake = nullptr;
};

static std::vector<Fiber> fibers;
static unsigned current;
static ucontext_t scheduler;
static void* scheduler_fake;
static const void* scheduler_stack;
static size_t scheduler_size;
static const std::function<void()>* kernel;

static void back_to_scheduler()
{
    Fiber& fiber = fibers[current];
    BEFORE_SWITCH(fiber.done ? nullptr : &fiber.fake, scheduler_stack, scheduler_size);
    swapcontext(&fiber.context, &scheduler);
    AFTER_SWITCH(fiber.fake, &scheduler_stack, &scheduler_size);
}

static void barrier(int line)
{
    fibers[current].waits_at = line;
    back_to_scheduler();
}

static void run_fiber()
{
    AFTER_SWITCH(nullptr, &scheduler_stack, &scheduler_size);
    (*kernel)();
    fibers[current].done = true;
    back_to_scheduler();
}

static void start(Fiber& fiber)
{
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, run_fiber, 0);
}

// Let every thread run to its next barrier, the last one first if `backward`.
static void step(bool backward)
{
    unsigned n = fibers.size();
    for (unsigned j = 0; j < n; ++j) {
        current = backward ? n - 1 - j : j;
        Fiber& fiber = fibers[current];
        if (fiber.done) continue;
        fiber.waits_at = 0;
        threadIdx.x = current;
        BEFORE_SWITCH(&scheduler_fake, fiber.stack.get(), STACK);
        swapcontext(&scheduler, &fiber.context);
        AFTER_SWITCH(scheduler_fake, nullptr, nullptr);
    }
}

// Return 0, or the line of a barrier at which not all threads have met.
static int run_with_barriers(bool backward)
{
    fibers.resize(blockDim.x);
    for (Fiber& fiber : fibers) start(fiber);
    for (;;) {
        step(backward);
        int line = 0;
        for (Fiber& fiber : fibers) line = max(line, fiber.waits_at);
        for (Fiber& fiber : fibers)
            if (fiber.waits_at != line) return line;
        if (!line) return 0;
    }
}

static void poison_shared_memory()
{
#if !defined(__SANITIZE_ADDRESS__)  // which keeps guards of its own there
    const unsigned nan = 0xfff7dead;
    for (char* p = __start_cpu_shared; p && p + 4 <= __stop_cpu_shared; p += 4) memcpy(p, &nan, 4);
#endif
}

static int launch(unsigned blocks, unsigned threads, int barriers, int backward,
                  const std::function<void()>& body)
{
    gridDim.x = blocks;
    blockDim.x = threads;
    kernel = &body;
    for (unsigned b = 0; b < blocks; ++b) {
        blockIdx.x = backward ? blocks - 1 - b : b;
        if (barriers) {  // else there is no shared memory
            poison_shared_memory();
            if (int line = run_with_barriers(backward)) return line;
            continue;
        }
        for (unsigned j = 0; j < threads; ++j) {
            threadIdx.x = backward ? threads - 1 - j : j;
            body();
        }
    }
    return 0;
}

// d += a w, what mma.sync does with a warp: m16n8k8 of tf32, m16n8k16 of float16 (PTX ISA, "matrix
// fragments"). Every lane lays down its words, all meet, every lane computes what it holds of d.
static float half_value(unsigned bits)
{
    float value = std::ldexp(float(bits & 0x3ff | (bits & 0x7c00 ? 0x400 : 0)), max<int>(bits >> 10 & 31, 1) - 25);
    return bits & 0x8000 ? -value : value;
}

static void mma(float* d, const unsigned* a, const unsigned* w, bool halves)
{
    static unsigned left[16][8], right[8][8];
    int g = current % 32 / 4, t = current % 4;
    for (int i = 0; i < 4; ++i) left[g + 8 * (i % 2)][t + i / 2 * 4] = a[i];
    for (int i = 0; i < 2; ++i) right[g][t + i * 4] = w[i];
    barrier(__LINE__);
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 8; ++j) {
            unsigned one = left[g + i / 2 * 8][j], other = right[2 * t + i % 2][j];
            if (!halves) d[i] += __uint_as_float(one) * __uint_as_float(other);
            for (int part = 0; halves && part < 32; part += 16)
                d[i] += half_value(one >> part & 0xffff) * half_value(other >> part & 0xffff);
        }
    barrier(__LINE__);
}

}  // namespace cpu

#define __syncthreads() cpu::barrier(__LINE__)
