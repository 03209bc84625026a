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
// -ffp-contract=off (multiply-adds are fused only where the source says so). Never with -ffast-math: in a shared library that switches the whole process to flush-to-zero.
// Without contraction the results are those of the reference kernels, bit for bit, wherever nothing is random.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifndef MHO_STAMP
#define MHO_STAMP ""
#endif

namespace {

constexpr int LANES = 16;
constexpr int BLOCK = 2 * LANES;  // numbers that one step of the generator gives
constexpr int64_t CHUNK = 8192;  // numbers of one seed in streams of their own; a multiple of BLOCK
constexpr int PIECES = 4;        // a chunk is worked off in pieces that stay in the nearest cache
constexpr int T = 16;            // side of a tile that is transposed in registers
constexpr int STRIP = 128;       // pixels that are transposed channel by channel, so that lines of memory are used whole

inline uint64_t mix(uint64_t z) {  // splitmix64, Steele et al. 2014
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

inline uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

struct Lanes {  // xoshiro128++ (Blackman & Vigna 2021), one generator a lane, seeded from (key, chunk, lane)
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];

    Lanes(uint64_t key, uint64_t chunk) {
        const uint64_t base = mix(key ^ mix(chunk));
        for (int l = 0; l < LANES; l++) {
            const uint64_t p = mix(base + 2 * l), q = mix(base + 2 * l + 1);
            a[l] = (uint32_t)p;
            b[l] = (uint32_t)(p >> 32);
            c[l] = (uint32_t)q;
            d[l] = (uint32_t)(q >> 32) | 1u;  // the all-zero state would stay zero
        }
    }

    inline void next(uint32_t* out) {
        for (int l = 0; l < LANES; l++) {
            out[l] = rotl(a[l] + d[l], 7) + a[l];
            const uint32_t t = b[l] << 9;
            c[l] ^= a[l];
            d[l] ^= b[l];
            b[l] ^= c[l];
            a[l] ^= d[l];
            c[l] ^= t;
            d[l] = rotl(d[l], 11);
        }
    }
};

// -2 ln x for x in (0, 1], without branches: the exponent apart, a polynomial of least relative error (2e-7) for the rest.
inline float minus_two_logarithm(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    const uint32_t from_root_half = bits - 0x3f3504f3u;  // sqrt(1/2) <= m < sqrt(2)
    const float e = (float)((int32_t)from_root_half >> 23);
    const uint32_t mantissa = (from_root_half & 0x007fffffu) + 0x3f3504f3u;
    float m;
    std::memcpy(&m, &mantissa, 4);
    m -= 1.0f;
    float y = 0.2021307498216629f;
    y = __builtin_fmaf(y, m, -0.3244485557079315f);
    y = __builtin_fmaf(y, m, 0.34501761198043823f);
    y = __builtin_fmaf(y, m, -0.3980037271976471f);
    y = __builtin_fmaf(y, m, 0.4993981420993805f);
    y = __builtin_fmaf(y, m, -0.6667011380195618f);
    y = __builtin_fmaf(y, m, 1.0000072717666626f);
    y = __builtin_fmaf(y, m, -1.9999998807907104f);
    return __builtin_fmaf(y, m, e * -1.3862943611198906f);
}

// Two normal numbers a lane from two words (Box & Muller 1958). Of the second word, 30 bits are an angle within a
// quarter turn around 0 and two choose the quarter.
inline void box_muller(const uint32_t* first, const uint32_t* second, float* one, float* two) {
    for (int l = 0; l < LANES; l++) {
        // 31 bits, (0, 1]: the tails reach 6.6 standard deviations.
        const float u = __builtin_fmaf((float)(int32_t)(first[l] >> 1), 4.656612873077393e-10f, 2.3283064365386963e-10f);
        const float radius = std::sqrt(minus_two_logarithm(u));
        const float t = (float)(int32_t)(second[l] << 2) * 2.3283064365386963e-10f, z = t * t;  // quarter turns
        float s = __builtin_fmaf(z, -0.00460165785625577f, 0.07968003302812576f);
        s = __builtin_fmaf(z, s, -0.6459634900093079f);
        s = __builtin_fmaf(z, s, 1.5707963705062866f) * t * radius;
        float c = __builtin_fmaf(z, -0.02039858140051365f, 0.25359493494033813f);
        c = __builtin_fmaf(z, c, -1.233696699142456f);
        c = __builtin_fmaf(z, c, 0.9999999403953552f) * radius;
        uint32_t bits;
        std::memcpy(&bits, &c, 4);
        bits ^= second[l] & 0x80000000u;
        std::memcpy(&c, &bits, 4);
        const bool swap = (second[l] & 0x40000000u) != 0;
        one[l] = swap ? s : c;
        two[l] = swap ? c : s;
    }
}

inline void normals(Lanes& lanes, float* out, int64_t n) {  // n is rounded up to a multiple of BLOCK
    uint32_t p[LANES], q[LANES];
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        lanes.next(p);
        lanes.next(q);
        box_muller(p, q, out + i, out + i + LANES);
    }
}

void normals_of(uint64_t key, int64_t chunk, float* out, int64_t count) {  // the first numbers of a chunk
    alignas(64) float z[CHUNK];
    Lanes lanes(key, (uint64_t)chunk);
    normals(lanes, z, count);
    std::memcpy(out, z, sizeof(float) * count);
}

inline float convert(float y, float scale, float half) {
    const float v = __builtin_rintf(y * scale);
    const float w = v < -half ? -half : v;
    return w > half ? half : w;
}

typedef float Row __attribute__((vector_size(4 * T)));

inline void transpose(float t[T][T]) {  // four perfect shuffles of 16 rows
    Row r[T], q[T];
    std::memcpy(r, t, sizeof(r));
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < T / 2; i++) {
            q[2 * i] = __builtin_shufflevector(r[i], r[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            q[2 * i + 1] =
                __builtin_shufflevector(r[i], r[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        std::memcpy(r, q, sizeof(r));
    }
    std::memcpy(t, r, sizeof(r));
}

// rows x columns numbers of a matrix with row length `stride` into a tile, and back; what is missing is zero.
inline void load(const float* from, int64_t stride, int rows, int columns, float t[T][T]) {
    if (rows == T && columns == T) {
        for (int i = 0; i < T; i++) std::memcpy(t[i], from + i * stride, sizeof(t[i]));
        return;
    }
    std::memset(t, 0, sizeof(float) * T * T);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) t[i][j] = from[i * stride + j];
}

inline void store(float t[T][T], float* to, int64_t stride, int rows, int columns) {
    if (rows == T && columns == T) {
        for (int i = 0; i < T; i++) std::memcpy(to + i * stride, t[i], sizeof(t[i]));
        return;
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) to[i * stride + j] = t[i][j];
}

inline int fewer(int64_t left) { return left < T ? (int)left : T; }

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

inline int64_t strips_of(int64_t pixels) { return (pixels + STRIP - 1) / STRIP; }

// Calls work(image, channel, pixel) for the tiles of strips [first, last), counted through all images.
template <class Work>
inline void strips(int64_t first, int64_t last, int64_t channels, int64_t pixels, Work work) {
    for (int64_t strip = first; strip < last; strip++) {
        const int64_t n = strip / strips_of(pixels), start = strip % strips_of(pixels) * STRIP;
        const int64_t end = start + STRIP < pixels ? start + STRIP : pixels;
        for (int64_t c = 0; c < channels; c += T)
            for (int64_t p = start; p < end; p += T) work(n, c, p);
    }
}

// Bits of 16 flags that are 0 or 1, the first one lowest.
inline uint16_t pack(const uint8_t* flags) {
    uint64_t low, high;
    std::memcpy(&low, flags, 8);
    std::memcpy(&high, flags + 8, 8);
    const uint64_t gather = 0x0102040810204080ull;
    return (uint16_t)((low * gather) >> 56) | (uint16_t)(((high * gather) >> 56) << 8);
}

template <int WHICH>
float* scratch(int64_t n) {  // kept by the thread from call to call
    static thread_local std::vector<float> kept;
    if ((int64_t)kept.size() < n) kept.resize(n);
    return kept.data();
}

// gain[j] reach unit of each column: the digital factor of its codes. reach may be null.
inline const float* factors_of(const float* gain, const float* reach, float unit, int64_t columns) {
    float* found = scratch<0>(columns);
    const float r = reach == nullptr ? 1.0f : *reach;
    for (int64_t j = 0; j < columns; j++) found[j] = gain[j] * r * unit;
    return found;
}

inline void fill(float block[BLOCK], const float* from, int64_t n) {
    if (n == BLOCK) {
        std::memcpy(block, from, sizeof(float) * BLOCK);
        return;
    }
    for (int64_t j = 0; j < BLOCK; j++) block[j] = j < n ? from[j] : 0.0f;
}

enum Layout { ROWS = 0, PLANAR = 1, ROWS_TO_PLANAR = 2 };
enum Inputs { DENSE = 0, STRIDED = 1, IMAGES = 2 };

// Calls work(i, run, column) for the runs of numbers [start, start + count) of a planar image that share a column.
template <class Work>
inline void planes(int64_t start, int64_t count, int64_t columns, int64_t pixels, Work work) {
    int64_t at = start % pixels, column = (start / pixels) % columns;
    for (int64_t i = 0; i < count;) {
        const int64_t run = pixels - at < count - i ? pixels - at : count - i;
        work(i, run, column);
        i += run;
        at = 0;
        column = column + 1 == columns ? 0 : column + 1;
    }
}

}  // namespace

extern "C" {

// What this library was made of; see build.py.
const char* mho_stamp() { return MHO_STAMP; }

int64_t mho_chunk() { return CHUNK; }

// Raw words of chunks [first, last), for tests of the bit stream: CHUNK words a chunk.
void mho_words(uint32_t* out, uint64_t key, int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
        Lanes lanes(key, (uint64_t)chunk);
        for (int64_t i = 0; i < CHUNK; i += LANES) lanes.next(out + (chunk - first) * CHUNK + i);
    }
}

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

// out = clip(round(x h/r), -h, h) / h, for inputs that lie
//   DENSE: anyhow, as the result does; images × columns × pixels numbers in all;
//   STRIDED: in rows of `columns` numbers, `stride` apart, images × pixels of them; the result's rows are dense;
//   IMAGES: planar, images `stride` apart; the result lies in dense rows.
// r is *reach, or where that is null h/r is `scale`.
void mho_quantise(const float* x, float* out, int how, int64_t images, int64_t columns, int64_t pixels, int64_t stride,
                  const float* reach, float scale, float half, int threads) {
    if (reach != nullptr) scale = 1.0f / *reach * half;  // as torch divides a number by a tensor
    const float unit = (float)(1.0 / (double)half);
    if (how == DENSE) {
        split(images * columns * pixels, CHUNK, threads, [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) out[i] = convert(x[i], scale, half) * unit;
        });
    } else if (how == STRIDED) {
        split(images * pixels, 1, threads, [=](int64_t first, int64_t last) {
            for (int64_t r = first; r < last; r++) {
                const float* from = x + r * stride;
                float* to = out + r * columns;
                for (int64_t i = 0; i < columns; i++) to[i] = convert(from[i], scale, half) * unit;
            }
        });
    } else {
        split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
            alignas(64) float t[T][T];
            strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
                const int high = fewer(columns - c), wide = fewer(pixels - p);
                load(x + n * stride + c * pixels + p, pixels, high, wide, t);
                for (int i = 0; i < T; i++)
                    for (int j = 0; j < T; j++) t[i][j] = convert(t[i][j], scale, half) * unit;
                transpose(t);
                store(t, out + (n * pixels + p) * columns + c, columns, wide, high);
            });
        });
    }
}

// The same for rows of `columns` numbers, `stride` apart, each in a range of its own: its largest magnitude, or `smallest`
// where that is larger. Ranges go to `ranges`. half <= 0: x / r.
void mho_quantise_vectors(const float* x, float* out, float* ranges, int64_t columns, int64_t rows, int64_t stride,
                          float smallest, float half, int threads) {
    const float unit = half > 0.0f ? (float)(1.0 / (double)half) : 1.0f;
    split(rows, 1, threads, [=](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; r++) {
            const float* from = x + r * stride;
            float* to = out + r * columns;
            float most[LANES];
            for (int l = 0; l < LANES; l++) most[l] = smallest;
            int64_t i = 0;
            for (; i + LANES <= columns; i += LANES)
                for (int l = 0; l < LANES; l++) most[l] = std::fabs(from[i + l]) > most[l] ? std::fabs(from[i + l]) : most[l];
            for (; i < columns; i++) most[0] = std::fabs(from[i]) > most[0] ? std::fabs(from[i]) : most[0];
            for (int l = 1; l < LANES; l++) most[0] = most[l] > most[0] ? most[l] : most[0];
            ranges[r] = most[0];
            if (half > 0.0f) {
                const float scale = 1.0f / most[0] * half;
                for (int64_t j = 0; j < columns; j++) to[j] = convert(from[j], scale, half) * unit;
            } else {
                for (int64_t j = 0; j < columns; j++) to[j] = from[j] / most[0];
            }
        }
    });
}

// Noise, conversion, digital factor, shift and sum in one pass:
//   v = y - d c(a) p + sqrt(max(spread, 0) + variance) z,  c(a) = a (a (0.05 a - 0.2) + 0.5),
//   out (+)= code(v) gain[column] r b/h, then + shift[column].
// y, spread, a and p lie in rows (layouts ROWS, ROWS_TO_PLANAR) or planar; out may be y itself where layouts agree.
// Every image has ceil(columns pixels / length) chunks of `length` numbers, each with a seed of its own; in rows, a
// quarter of `length` is a multiple of 32 columns. spread, a, shift, codes and mask may be null. half <= 0: code(v) = v.
// r is *reach (null: 1), b the range *bound, or where that is null h/b is `scale` and b/h is `unit`.
// each: another factor, of every pixel (row), in layout ROWS with one image; or null.
// codes and mask (one bit a number: 1 where v is inside the range) are kept in the order of y, whole chunks.
// Returns how many numbers lay outside the range.
int64_t mho_read_out(const float* y, const float* spread, const float* a, const float* p, float* out, int64_t images,
                     int64_t columns, int64_t pixels, int64_t length, int layout, float variance, float drop,
                     float half, const float* gain, const float* reach, const float* bound, float scale, float unit,
                     const float* each, const float* shift, int add, int8_t* codes, uint16_t* mask, uint64_t key,
                     int threads) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    const int64_t piece = layout == ROWS_TO_PLANAR ? length : length / PIECES;  // planar results are written in strips
    if (bound != nullptr && half > 0.0f) {
        scale = 1.0f / *bound * half;
        unit = *bound / half;
    }
    const float* factor = factors_of(gain, reach, unit, columns);
    const bool noisy = spread != nullptr || variance > 0.0f;
    const float sigma = std::sqrt(variance);
    std::atomic<int64_t> all_outside{0};
    split(images * chunks, 1, threads, [=, &all_outside](int64_t first, int64_t last) {
        float *code = scratch<1>(3 * piece), *factors = code, *shifts = code + piece, *more = shifts + piece;
        if (layout == ROWS)  // the columns' numbers, over and over: a piece begins with column 0
            for (int64_t i = 0; i < piece && i < size; i += columns)
                for (int64_t j = 0; j < columns; j++) {
                    factors[i + j] = factor[j];
                    shifts[i + j] = shift == nullptr ? 0.0f : shift[j];
                }
        int64_t outside = 0;
        for (int64_t chunk = first; chunk < last; chunk++) {
            const int64_t image = chunk / chunks, begin = (chunk % chunks) * length;
            const int64_t numbers = size - begin < length ? size - begin : length;
            Lanes lanes(key, (uint64_t)chunk);
            for (int64_t done = 0; done < numbers; done += piece) {
                const int64_t count = numbers - done < piece ? numbers - done : piece;
                const int64_t start = begin + done, at = image * size + start;
                if (each != nullptr)
                    for (int64_t i = 0; i < count; i += columns)
                        for (int64_t j = 0; j < columns; j++) more[i + j] = each[(start + i) / columns];
                for (int64_t i = 0; i < count; i += BLOCK) {
                    const int64_t here = count - i < BLOCK ? count - i : BLOCK, from = at + i;
                    alignas(64) float v[BLOCK], w[BLOCK], z[BLOCK];
                    fill(v, y + from, here);
                    if (a != nullptr) {
                        fill(w, a + from, here);
                        for (int j = 0; j < BLOCK; j++) w[j] = drop * (w[j] * (w[j] * (0.05f * w[j] - 0.2f) + 0.5f));
                        fill(z, p + from, here);
                        for (int j = 0; j < BLOCK; j++) v[j] -= w[j] * z[j];
                    }
                    if (noisy) {
                        normals(lanes, z, BLOCK);
                        if (spread != nullptr) {
                            fill(w, spread + from, here);
                            for (int j = 0; j < BLOCK; j++) {
                                const float positive = w[j] > 0.0f ? w[j] : 0.0f;
                                v[j] += std::sqrt(positive + variance) * z[j];
                            }
                        } else {
                            for (int j = 0; j < BLOCK; j++) v[j] += sigma * z[j];
                        }
                    }
                    if (mask != nullptr) {
                        uint8_t flags[BLOCK];
                        int inside = 0;
                        for (int j = 0; j < BLOCK; j++) {
                            flags[j] = std::fabs(v[j] * scale) <= half || j >= here;
                            inside += flags[j];
                        }
                        outside += BLOCK - inside;
                        uint16_t* bits = mask + (chunk * length + done + i) / T;
                        bits[0] = pack(flags);
                        bits[1] = pack(flags + T);
                    }
                    if (half > 0.0f)
                        for (int j = 0; j < BLOCK; j++) v[j] = convert(v[j], scale, half);
                    if (codes != nullptr) {
                        int8_t* kept = codes + chunk * length + done + i;
                        for (int j = 0; j < BLOCK; j++) kept[j] = (int8_t)v[j];
                    }
                    if (layout != ROWS) {
                        std::memcpy(code + i, v, sizeof(v));
                        continue;
                    }
                    float* to = out + from;
                    if (add) fill(w, to, here);
                    for (int j = 0; j < BLOCK; j++) v[j] *= factors[i + j];
                    if (each != nullptr)
                        for (int j = 0; j < BLOCK; j++) v[j] *= more[i + j];
                    if (add)
                        for (int j = 0; j < BLOCK; j++) v[j] = w[j] + v[j];
                    if (shift != nullptr)
                        for (int j = 0; j < BLOCK; j++) v[j] += shifts[i + j];
                    if (here == BLOCK)
                        std::memcpy(to, v, sizeof(v));
                    else
                        for (int64_t j = 0; j < here; j++) to[j] = v[j];
                }
                if (layout == ROWS_TO_PLANAR) {
                    alignas(64) float t[T][T];
                    float* to = out + image * size;
                    const int64_t p0 = start / columns, rows = count / columns;
                    for (int64_t c = 0; c < columns; c += T)
                        for (int64_t r = 0; r < rows; r += T) {
                            const int high = fewer(rows - r), wide = fewer(columns - c);
                            load(code + r * columns + c, columns, high, wide, t);
                            transpose(t);
                            float* place = to + c * pixels + p0 + r;
                            for (int i = 0; i < wide; i++)
                                for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                            if (add)
                                for (int i = 0; i < wide; i++)
                                    for (int j = 0; j < high; j++) t[i][j] = place[i * pixels + j] + t[i][j];
                            if (shift != nullptr)
                                for (int i = 0; i < wide; i++)
                                    for (int j = 0; j < T; j++) t[i][j] += shift[c + i];
                            store(t, place, pixels, wide, high);
                        }
                }
                if (layout == PLANAR) {
                    float* to = out + at;
                    planes(start, count, columns, pixels, [&](int64_t i, int64_t run, int64_t column) {
                        const float f = factor[column], h = shift == nullptr ? 0.0f : shift[column];
                        float* v = code + i;
                        for (int64_t j = 0; j < run; j++) v[j] *= f;
                        if (add)
                            for (int64_t j = 0; j < run; j++) v[j] = to[i + j] + v[j];
                        if (shift != nullptr)
                            for (int64_t j = 0; j < run; j++) v[j] += h;
                        std::memcpy(to + i, v, sizeof(float) * run);
                    });
                }
            }
        }
        all_outside += outside;
    });
    return all_outside;
}

// The way back through the read-out: out = g factor[column], 0 where the mask says outside.
// Layouts and chunks as in mho_read_out; g lies where `out` lay there, out where y did. mask may be null.
void mho_read_out_back(const float* g, float* out, int64_t images, int64_t columns, int64_t pixels, int64_t length,
                       int layout, const float* factor, const uint16_t* mask, int threads) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    split(images * chunks, 1, threads, [=](int64_t first, int64_t last) {
        for (int64_t chunk = first; chunk < last; chunk++) {
            const int64_t image = chunk / chunks, start = (chunk % chunks) * length;
            const int64_t count = size - start < length ? size - start : length;
            float* to = out + image * size + start;
            const float* from = g + image * size;
            if (layout == ROWS_TO_PLANAR) {
                alignas(64) float t[T][T];
                const int64_t p0 = start / columns, rows = count / columns;
                for (int64_t c = 0; c < columns; c += T)
                    for (int64_t r = 0; r < rows; r += T) {
                        const int high = fewer(columns - c), wide = fewer(rows - r);
                        load(from + c * pixels + p0 + r, pixels, high, wide, t);
                        for (int i = 0; i < high; i++)
                            for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                        transpose(t);
                        store(t, to + r * columns + c, columns, wide, high);
                    }
            } else if (layout == PLANAR) {
                planes(start, count, columns, pixels, [&](int64_t i, int64_t run, int64_t column) {
                    for (int64_t j = 0; j < run; j++) to[i + j] = from[start + i + j] * factor[column];
                });
            } else {
                for (int64_t i = 0; i < count; i += columns)
                    for (int64_t j = 0; j < columns; j++) to[i + j] = from[start + i + j] * factor[j];
            }
            if (mask == nullptr) continue;
            const uint16_t* bits = mask + chunk * length / T;
            for (int64_t i = 0; i < count; i += T) {
                if (bits[i / T] == 0xffff) continue;
                for (int64_t j = i; j < count && j < i + T; j++)
                    if (!((bits[i / T] >> (j - i)) & 1)) to[j] = 0.0f;
            }
        }
    });
}

// What a read-out put out, from the codes it kept: out = codes factor[column] + shift[column].
void mho_decode(const int8_t* codes, float* out, int64_t images, int64_t columns, int64_t pixels, int64_t length,
                int layout, const float* factor, const float* shift, int threads) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    split(images * chunks, 1, threads, [=](int64_t first, int64_t last) {
        float* code = scratch<1>(length);
        for (int64_t chunk = first; chunk < last; chunk++) {
            const int64_t image = chunk / chunks, start = (chunk % chunks) * length;
            const int64_t count = size - start < length ? size - start : length;
            const int8_t* from = codes + chunk * length;
            for (int64_t i = 0; i < count; i++) code[i] = (float)from[i];
            if (layout == ROWS_TO_PLANAR) {
                alignas(64) float t[T][T];
                const int64_t p0 = start / columns, rows = count / columns;
                for (int64_t c = 0; c < columns; c += T)
                    for (int64_t r = 0; r < rows; r += T) {
                        const int high = fewer(rows - r), wide = fewer(columns - c);
                        load(code + r * columns + c, columns, high, wide, t);
                        transpose(t);
                        for (int i = 0; i < wide; i++)
                            for (int j = 0; j < T; j++) t[i][j] = t[i][j] * factor[c + i] + shift[c + i];
                        store(t, out + image * size + c * pixels + p0 + r, pixels, wide, high);
                    }
                continue;
            }
            float* to = out + image * size + start;
            if (layout == PLANAR) {
                planes(start, count, columns, pixels, [&](int64_t i, int64_t run, int64_t column) {
                    for (int64_t j = 0; j < run; j++) to[i + j] = code[i + j] * factor[column] + shift[column];
                });
            } else {
                for (int64_t i = 0; i < count; i += columns)
                    for (int64_t j = 0; j < columns; j++) to[i + j] = code[i + j] * factor[j] + shift[j];
            }
        }
    });
}

// The way back through the DAC: out = g / r where |x h/r| <= h, else 0; h/r as in mho_quantise. DENSE: g, x and out lie
// alike, n = images × columns × pixels numbers. IMAGES: g in dense rows, x and out planar, images `stride` apart.
void mho_quantise_back(const float* g, const float* x, float* out, int how, int64_t images, int64_t columns,
                       int64_t pixels, int64_t stride, const float* reach, float scale, float half, int threads) {
    if (reach != nullptr) scale = 1.0f / *reach * half;  // as torch divides a number by a tensor
    const float slope = (float)(1.0 / (double)half) * scale;
    if (how == DENSE) {
        split(images * columns * pixels, CHUNK, threads, [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) out[i] = std::fabs(x[i] * scale) <= half ? g[i] * slope : 0.0f;
        });
        return;
    }
    split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
        alignas(64) float t[T][T];
        alignas(64) float v[T][T];
        strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
            const int high = fewer(pixels - p), wide = fewer(columns - c);
            const int64_t at = n * stride + c * pixels + p;
            load(g + (n * pixels + p) * columns + c, columns, high, wide, t);
            load(x + at, pixels, wide, high, v);
            transpose(t);
            for (int i = 0; i < T; i++)
                for (int j = 0; j < T; j++) t[i][j] = std::fabs(v[i][j] * scale) <= half ? t[i][j] * slope : 0.0f;
            store(t, out + at, pixels, wide, high);
        });
    });
}
}
