// The fused passes for CPUs. Plain C interface, no torch, vectorised by the compiler.
//
// Threads. Passes are split over the threads of the OpenMP runtime that torch has loaded and uses itself, whose entry
// points are handed in (`mho_pool`); linking a runtime would bring in a second pool. What a number becomes does not
// depend on who computes it.
//
// Layouts. A tensor of n images, c channels (columns) and s pixels is *planar* when each channel of an image is a run of
// s numbers (torch's contiguous), and lies in *rows* when each pixel is a run of c numbers (channels_last, and the
// outputs of linear layers). Convolutions compute in rows, which is what the processor's library does fastest; the
// passes before and after transpose on the way, in registers, so that callers keep the layout they came with.
//
// Compiled once, on the machine where it runs, with -O3 -march=native -fno-math-errno -fno-trapping-math
// -ffp-contract=off (multiply-adds are fused only where the source says so). Never with -ffast-math: in a shared library
// that switches the whole process to flush-to-zero.
// Without contraction the results are those of the reference kernels, bit for bit, wherever nothing is random.

#include "moments.hpp"
#include "patch_ranges.hpp"
#include "patches.hpp"
#include "patches_back.hpp"
#include "quantise.hpp"
#include "random.hpp"
#include "read_out.hpp"
#include "slices.hpp"
#include "threads.hpp"

#ifndef MHO_STAMP
#define MHO_STAMP ""
#endif

extern "C" {

// What this library was made of; see build.py.
const char* mho_stamp() { return MHO_STAMP; }

// The OpenMP runtime's GOMP_parallel or __kmpc_fork_call (one of them), omp_get_thread_num, omp_get_num_threads.
// All null: passes run on the caller's thread.
void mho_pool(void* gomp, void* kmpc, void* number, void* size) {
    parallel = (Parallel)gomp;
    fork_call = (Fork)kmpc;
    thread_number = (int (*)())number;
    team_size = (int (*)())size;
}

// n standard normal numbers.
void mho_normals(float* out, int64_t n, uint64_t key, int threads) {
    split((n + CHUNK - 1) / CHUNK, 1, threads, [=](int64_t first, int64_t last) {
        for (int64_t chunk = first; chunk < last; chunk++)
            normals_of(key, chunk, out + chunk * CHUNK, n - chunk * CHUNK < CHUNK ? n - chunk * CHUNK : CHUNK);
    });
}

}  // extern "C"
