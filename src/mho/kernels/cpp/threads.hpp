// Work split over the threads of the OpenMP runtime that torch has loaded, and memory that a thread keeps.

#pragma once

#include <cstdint>
#include <vector>

namespace {

constexpr int64_t STEP = 8192;  // numbers of a plain pass that one thread takes at least

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);  // GOMP_parallel
typedef void (*Fork)(void*, int, void (*)(int*, int*, void*), ...);     // __kmpc_fork_call
Parallel parallel = nullptr;
Fork fork_call = nullptr;
int (*thread_number)() = nullptr;
int (*team_size)() = nullptr;

// One thread's share of the units, in whole steps. The team may be smaller than was asked for, and larger where the runtime
// is not told (LLVM's): those that are too many have no share.
template <class Work>
struct Task {
    const Work& work;
    int64_t units, step, threads;

    static void run(void* given) {
        const Task& task = *static_cast<Task*>(given);
        const int64_t who = thread_number(), team = team_size(), all = team < task.threads ? team : task.threads;
        if (who >= all) return;
        const int64_t steps = (task.units + task.step - 1) / task.step;
        const int64_t first = task.step * (steps * who / all), last = task.step * (steps * (who + 1) / all);
        if (first < last) task.work(first, last < task.units ? last : task.units);
    }

    static void run_as_microtask(int*, int*, void* given) { run(given); }
};

// Calls work(first, last) for ranges of units, cut at whole steps, on up to that many threads.
template <class Work>
void split(int64_t units, int64_t step, int threads, const Work& work) {
    Task<Work> task{work, units, step, threads};
    if (threads > 1 && units > step && parallel != nullptr) {
        parallel(Task<Work>::run, &task, (unsigned)threads, 0);
    } else if (threads > 1 && units > step && fork_call != nullptr) {
        static struct {
            int32_t reserved, flags = 2, more[2];
            const char* source = ";unknown;unknown;0;0;;";
        } location;  // the runtime's ident_t
        fork_call(&location, 1, Task<Work>::run_as_microtask, &task);
    } else if (units > 0) {
        work(0, units);
    }
}

template <int WHICH>
float* scratch(int64_t n) {  // kept by the thread from call to call
    static thread_local std::vector<float> kept;
    if ((int64_t)kept.size() < n) kept.resize(n);
    return kept.data();
}

}  // namespace
