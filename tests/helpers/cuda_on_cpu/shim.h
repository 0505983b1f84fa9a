// The words of CUDA for g++, so that the kernels run on the CPU, one block at a time. Tests only.
//
// A kernel without barriers runs its threads in a loop. With barriers every thread is a fiber: it runs
// up to its next __syncthreads(), then the next thread does; where an instruction is a whole warp's, its
// lanes meet, and go on before the next warp. All threads of a block must meet the same barrier (its line
// is compared), so a barrier that some of them miss is found; a barrier that is missing makes a thread read
// what another has not written yet. Shared memory is full of NaN before each block.
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

struct Copy { char* to; const void* from; bool there; };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    int waits_at = 0;       // line of the barrier
    bool of_warp = false;   // whether only its warp must meet there
    bool done = false;
    void* fake = nullptr;
    unsigned exchanges;                    // of words with other lanes
    std::vector<std::vector<Copy>> copies; // that have not arrived
};

static std::vector<Fiber> fibers;
static unsigned current;
static ucontext_t scheduler;
static void* scheduler_fake;
static const void* scheduler_stack;
static size_t scheduler_size;
static const std::function<void()>* kernel;
static bool at_once;  // copies arrive

static void back_to_scheduler()
{
    Fiber& fiber = fibers[current];
    BEFORE_SWITCH(fiber.done ? nullptr : &fiber.fake, scheduler_stack, scheduler_size);
    swapcontext(&fiber.context, &scheduler);
    AFTER_SWITCH(fiber.fake, &scheduler_stack, &scheduler_size);
}

static void barrier(int line, bool of_warp = false)
{
    fibers[current].waits_at = line;
    fibers[current].of_warp = of_warp;
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
    fiber.exchanges = 0;
    fiber.copies.assign(1, {});
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, run_fiber, 0);
}

// Let every thread of some run to its next barrier, the last one first if `backward`.
static void step(unsigned first, unsigned n, bool backward)
{
    for (unsigned j = 0; j < n; ++j) {
        current = first + (backward ? n - 1 - j : j);
        Fiber& fiber = fibers[current];
        if (fiber.done) continue;
        fiber.waits_at = fiber.of_warp = 0;
        threadIdx.x = current;
        BEFORE_SWITCH(&scheduler_fake, fiber.stack.get(), STACK);
        swapcontext(&scheduler, &fiber.context);
        AFTER_SWITCH(scheduler_fake, nullptr, nullptr);
    }
}

// Return 0, or the line of a barrier at which not all of some threads have met.
static int apart(unsigned first, unsigned n)
{
    int line = 0;
    for (unsigned i = first; i < first + n; ++i) line = max(line, fibers[i].waits_at);
    for (unsigned i = first; i < first + n; ++i)
        if (fibers[i].waits_at != line) return line;
    return 0;
}

// Return what `apart` does. A warp goes as far as it can before the next one does.
static int run_with_barriers(bool backward)
{
    const unsigned n = blockDim.x, warp = min(n, 32u);
    fibers.resize(n);
    for (Fiber& fiber : fibers) start(fiber);
    while (!fibers[0].done) {
        for (unsigned w = 0; w < n; w += warp) {
            unsigned first = backward ? n - warp - w : w;
            do {
                step(first, warp, backward);
                if (int line = apart(first, warp)) return line;
            } while (fibers[first].of_warp);
        }
        if (int line = apart(0, n)) return line;
    }
    return 0;
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
    at_once = backward;
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

// What the lanes of a warp say to each other: each lays down some words, all meet, each may read. The
// two boards take turns, so that no one writes on a board that another still reads.
constexpr int WORDS = 6;
typedef unsigned Board[32][WORDS];

static const Board& exchanged(const unsigned* words, int count)
{
    static Board boards[2][32];
    Board& board = boards[fibers[current].exchanges++ % 2][current / 32];
    std::copy(words, words + count, board[current % 32]);
    barrier(__LINE__, true);
    return board;
}

// mma.sync: m16n8k8 of tf32, m16n8k16 of float16 (PTX ISA, "matrix fragments")
static float half_value(unsigned bits)
{
    unsigned magnitude = bits & 0x7fff, finite = magnitude < 0x7c00, sign = (bits & 0x8000) << 16;
    float value = __uint_as_float((magnitude << 13) + (finite ? 0x38000000 : 0x70000000));
    if (magnitude < 0x400) value = magnitude * 0x1p-24f;  // subnormal
    return __uint_as_float(__float_as_uint(value) | sign);
}

static void multiply_16_by_8(float* sums, const unsigned* left, const unsigned* right, bool halves)
{
    unsigned own[WORDS] = {left[0], left[1], left[2], left[3], right[0], right[1]};
    const Board& board = exchanged(own, WORDS);
    int g = current % 32 / 4, t = current % 4;
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 8; ++j) {
            unsigned one = board[4 * g + j % 4][i / 2 + j / 4 * 2];
            unsigned other = board[4 * (2 * t + i % 2) + j % 4][4 + j / 4];
            if (!halves) sums[i] += __uint_as_float(one) * __uint_as_float(other);
            for (int part = 0; halves && part < 32; part += 16)
                sums[i] += half_value(one >> part & 0xffff) * half_value(other >> part & 0xffff);
        }
}

// ldmatrix, x4
static void load_squares(unsigned* words, const char* row)
{
    unsigned own[2];
    memcpy(own, &row, sizeof(row));
    const Board& board = exchanged(own, 2);
    for (int i = 0; i < 4; ++i) {
        memcpy(&row, board[8 * i + current % 32 / 4], sizeof(row));
        memcpy(words + i, row + 4 * (current % 4), 4);
    }
}

// __ballot_sync of all lanes
static unsigned said_by_lanes(unsigned yes)
{
    const Board& board = exchanged(&yes, 1);
    unsigned all = 0;
    for (int lane = 0; lane < 32; ++lane) all |= board[lane][0] << lane;
    return all;
}

// cp.async: a copy may arrive at any time until its thread waits for it. Here it does at the last moment,
// or at the first one where the last thread goes first.
static void arrive(const Copy& copy)
{
    if (copy.there) memcpy(copy.to, copy.from, 16);
    else memset(copy.to, 0, 16);
}

static void copy_later(char* to, const void* from, bool there)
{
    Copy copy = {to, from, there};
    if (at_once) arrive(copy);
    else fibers[current].copies.back().push_back(copy);
}

static void end_of_copies() { fibers[current].copies.emplace_back(); }

static void wait_for_copies(size_t but)
{
    auto& copies = fibers[current].copies;  // the last are not at their end yet
    for (; copies.size() > but + 1; copies.erase(copies.begin()))
        for (const Copy& copy : copies.front()) arrive(copy);
}

}  // namespace cpu

#define __syncthreads() cpu::barrier(__LINE__)
