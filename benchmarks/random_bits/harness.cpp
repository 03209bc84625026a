// The generator of src/mho/kernels/cpp/random.hpp as streams for TestU01, raw sums of its normal numbers, and checks of the
// seeding. The kernels' own source is included (MHO_SOURCE), so what is tested is what is shipped. Started by run.py.

#include MHO_SOURCE

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#if __has_include(<testu01/bbattery.h>)
#define BATTERY 1
extern "C" {
#include <testu01/bbattery.h>
#include <testu01/swrite.h>
#include <testu01/unif01.h>
}
#endif

namespace trial {  // a name of its own: the kernels' names may change
namespace {

constexpr int N = (int)CHUNK;
constexpr uint64_t KEYS = 1ull << 62;  // the package draws keys below this

uint64_t reversed(uint64_t x, int bits) {
    uint64_t y = 0;
    for (int i = 0; i < bits; i++) y |= ((x >> i) & 1) << (bits - 1 - i);
    return y;
}

// Streams: `fill` writes the next N words.

uint32_t buffer[N];
uint64_t key = 0, position = 0;
std::mt19937 twister;

void head(uint64_t k, uint64_t chunk, uint32_t* out, int words) {  // the first words of a chunk
    Lanes lanes(k, chunk);
    for (int i = 0; i < words; i += LANES) lanes.next(out + i);
}

void whole(uint64_t k, uint64_t chunk, uint32_t* out) {
    mho_words(out, k, (int64_t)chunk, (int64_t)chunk + 1);
}

void call() { whole(key, position++, buffer); }

void call_reversed() {
    call();
    for (uint32_t& w : buffer) w = (uint32_t)reversed(w, 32);
}

void lane() {
    static uint32_t all[N];
    for (int i = 0; i < N;) {
        whole(key, position++, all);
        for (int j = 0; j < N; j += LANES) buffer[i++] = all[j];
    }
}

void long_chunks() {  // 2^19 words a chunk: wide layers draw more than CHUNK numbers from one seed
    static Lanes lanes(key, 0);
    if (position++ % 64 == 0) lanes = Lanes(key, position / 64);
    for (int i = 0; i < N; i += LANES) lanes.next(buffer + i);
}

template <int WORDS>
void keys() {
    for (int i = 0; i < N; i += WORDS) head((key + position++) % KEYS, 0, buffer + i, WORDS);
}

void keys_first() {
    uint32_t w[LANES];
    for (int i = 0; i < N; i++) {
        head((key + position++) % KEYS, 0, w, LANES);
        buffer[i] = w[0];
    }
}

void keys_high() {
    for (int i = 0; i < N; i += LANES) head(reversed(position++, 62) ^ key, 0, buffer + i, LANES);
}

void keys_columns() {  // word 0 of 128 keys, word 1 of the same keys, ...
    uint32_t w[64];
    for (int k = 0; k < 128; k++) {
        head((key + position++) % KEYS, 0, w, 64);
        for (int i = 0; i < 64; i++) buffer[i * 128 + k] = w[i];
    }
}

void keys_drawn() {  // keys as the package draws them: torch's Mersenne Twister, two words, modulo 2^62
    for (int i = 0; i < N; i += LANES) {
        const uint64_t high = twister(), low = twister();
        head(((high << 32) | low) % KEYS, 0, buffer + i, LANES);
    }
}

void chunks() {
    for (int i = 0; i < N; i += LANES) head(key, position++, buffer + i, LANES);
}

void chunks_first() {
    uint32_t w[LANES];
    for (int i = 0; i < N; i++) {
        head(key, position++, w, LANES);
        buffer[i] = w[0];
    }
}

void swapped() {  // (key i, chunk j) and (key j, chunk i), word by word, over j < i
    static uint64_t i = 1 + key % 1000003, j = 0;
    uint32_t p[LANES], q[LANES];
    for (int n = 0; n < N; n += 2 * LANES) {
        head(i, j, p, LANES);
        head(j, i, q, LANES);
        for (int l = 0; l < LANES; l++) {
            buffer[n + 2 * l] = p[l];
            buffer[n + 2 * l + 1] = q[l];
        }
        if (++j == i) i++, j = 0;
    }
}

void xor_lanes() {
    static uint32_t all[N];
    for (int i = 0; i < N;) {
        whole(key, position++, all);
        for (int j = 0; j < N; j += 2) buffer[i++] = all[j] ^ all[j + 1];
    }
}

void xor_heads(uint64_t k, uint64_t c, uint64_t other_k, uint64_t other_c, uint32_t* out) {
    uint32_t q[LANES];
    head(k, c, out, LANES);
    head(other_k, other_c, q, LANES);
    for (int l = 0; l < LANES; l++) out[l] ^= q[l];
}

void xor_keys() {
    for (int i = 0; i < N; i += LANES, position++)
        xor_heads((key + 2 * position) % KEYS, 0, (key + 2 * position + 1) % KEYS, 0, buffer + i);
}

void xor_keys_high() {
    for (int i = 0; i < N; i += LANES, position++) {
        const uint64_t k = (key + position) % KEYS;
        xor_heads(k, 0, k ^ (1ull << 61), 0, buffer + i);
    }
}

void xor_chunks() {
    for (int i = 0; i < N; i += LANES, position++) xor_heads(key, 2 * position, key, 2 * position + 1, buffer + i);
}

struct Stream {
    const char* name;
    void (*fill)();
};

const Stream STREAMS[] = {
    {"call", call}, {"call_reversed", call_reversed}, {"lane", lane}, {"long_chunks", long_chunks},
    {"keys_16", keys<16>}, {"keys_64", keys<64>}, {"keys_first", keys_first}, {"keys_columns", keys_columns},
    {"keys_high", keys_high}, {"keys_drawn", keys_drawn},
    {"chunks_16", chunks}, {"chunks_first", chunks_first}, {"swapped", swapped},
    {"xor_lanes", xor_lanes}, {"xor_keys", xor_keys}, {"xor_keys_high", xor_keys_high}, {"xor_chunks", xor_chunks},
};

// The batteries. One line of JSON a p-value, written as soon as it is known.

#ifdef BATTERY
void (*fill)() = nullptr;
int used = N;
uint64_t words = 0;

unsigned int next_word() {
    if (used == N) {
        fill();
        used = 0;
    }
    words++;
    return buffer[used++];
}

void record(FILE* out, int test) {
    for (int i = 0; i < bbattery_NTests; i++)
        std::fprintf(out, "{\"test\": %d, \"name\": \"%s\", \"p\": %.17g, \"words\": %llu}\n", test,
                     bbattery_TestNames[i], bbattery_pVal[i], (unsigned long long)words);
    std::fflush(out);
}

int battery(const std::string& which, const char* path) {
    FILE* out = std::fopen(path, "w");
    if (out == nullptr) return 1;
    swrite_Basic = FALSE;
    unif01_Gen* gen = unif01_CreateExternGenBits((char*)"mho", next_word);
    const bool small = which == "smallcrush";
    const int tests = small ? 10 : 96;
    for (int t = 1; t <= tests; t++) {  // one after the other on one continuing stream, as the battery does
        int repeat[1 + 200] = {0};
        repeat[t] = 1;
        if (small)
            bbattery_RepeatSmallCrush(gen, repeat);
        else
            bbattery_RepeatCrush(gen, repeat);
        record(out, t);
    }
    unif01_DeleteExternGenBits(gen);
    std::fclose(out);
    return 0;
}
#endif

// Sums over normal numbers; run.py turns them into p-values.

void normal_chunk(uint64_t k, int64_t chunk, float* out) { normals_of(k, chunk, out, CHUNK); }

typedef float Vector __attribute__((vector_size(4 * LANES)));

inline Vector load(const float* x) {
    Vector v;
    std::memcpy(&v, x, sizeof v);
    return v;
}

constexpr int LAGS = 64, CELLS = 1000, GRID = 32, GUIDE = 4096;

struct Bins {  // cell of a number among ascending edges, through a guide table over [-8, 8)
    std::vector<float> edges;
    int guide[GUIDE];
    explicit Bins(std::vector<float> e) : edges(std::move(e)) {
        for (int g = 0; g < GUIDE; g++) {
            const float low = (float)g * (16.0f / GUIDE) - 8.0f;
            int c = 0;
            while (c < (int)edges.size() && edges[c] < low) c++;
            guide[g] = c;
        }
    }
    int operator()(float z) const {
        int c = guide[(int)((z + 8.0f) * (GUIDE / 16.0f))];
        while (c > 0 && edges[c - 1] > z) c--;
        while (c < (int)edges.size() && edges[c] <= z) c++;
        return c;
    }
};

void print(const char* name, const std::vector<double>& v, bool last = false) {
    std::printf("\"%s\": [", name);
    for (size_t i = 0; i < v.size(); i++) std::printf("%s%.17g", i ? ", " : "", v[i]);
    std::printf(last ? "]}\n" : "], ");
}

std::vector<float> read_edges(FILE* in, int n) {
    std::vector<float> e(n);
    for (float& x : e)
        if (std::fscanf(in, "%f", &x) != 1) std::exit(2);
    return e;
}

// `neighbours`: chunk 0 of consecutive keys instead of consecutive chunks of one key.
int normal_sums(int64_t total, bool neighbours) {
    const Bins cells(read_edges(stdin, CELLS - 1)), grid(read_edges(stdin, GRID - 1));
    alignas(64) static float z[LAGS + CHUNK], s[LAGS + CHUNK];
    std::vector<double> power(7), lag(LAGS + 1), lag_square(LAGS + 1), cross(4), tails(8), zero(1);
    std::vector<double> cell(CELLS), pair(GRID * GRID), serial(GRID * GRID), extreme(2);
    for (int64_t chunk = 0; chunk < total / CHUNK; chunk++) {
        float* now = z + LAGS;
        std::memcpy(z, z + CHUNK, sizeof(float) * LAGS);  // the last numbers of the chunk before; zeros at first
        std::memcpy(s, s + CHUNK, sizeof(float) * LAGS);
        normal_chunk(neighbours ? key + (uint64_t)chunk : key, neighbours ? 0 : chunk, now);
        double moment[7] = {};
        for (int i = 0; i < N; i++) {
            const double x = now[i], x2 = x * x;
            moment[1] += x;
            moment[2] += x2;
            moment[3] += x2 * x;
            moment[4] += x2 * x2;
            moment[5] += x2 * x2 * x;
            moment[6] += x2 * x2 * x2;
            s[LAGS + i] = (float)(x2 - 1.0);
        }
        for (int k = 1; k < 7; k++) power[k] += moment[k];
        for (int k = 1; k <= LAGS; k++) {
            Vector a = {}, b = {};
            for (int i = LAGS; i < LAGS + N; i += LANES) {
                a += load(z + i) * load(z + i - k);
                b += load(s + i) * load(s + i - k);
            }
            for (int l = 0; l < LANES; l++) {
                lag[k] += a[l];
                lag_square[k] += b[l];
            }
        }
        for (int i = 0; i < N; i += 2 * LANES) {
            double local[4] = {};
            for (int l = 0; l < LANES; l++) {
                const double x = now[i + l], y = now[i + LANES + l];
                local[0] += x * y;
                local[1] += (x * x - 1.0) * (y * y - 1.0);
                local[2] += x * (y * y - 1.0);
                local[3] += (x * x - 1.0) * y;
                pair[grid(now[i + l]) * GRID + grid(now[i + LANES + l])]++;
            }
            for (int l = 0; l < 2 * LANES; l += 2) serial[grid(now[i + l]) * GRID + grid(now[i + l + 1])]++;
            for (int j = 0; j < 4; j++) cross[j] += local[j];
        }
        for (int i = 0; i < N; i++) {
            const float x = now[i], a = std::fabs(x);
            cell[cells(x)]++;
            zero[0] += x == 0.0f;
            if (a > 3.0f)
                for (int t = 3; t < 7; t++)
                    if (a > (float)t) tails[2 * (t - 3) + (x > 0.0f)]++;
            extreme[0] = x < extreme[0] ? x : extreme[0];
            extreme[1] = x > extreme[1] ? x : extreme[1];
        }
    }
    std::printf("{");
    print("power", power);
    print("lag", lag);
    print("lag_square", lag_square);
    print("cross", cross);
    print("tails", tails);
    print("zero", zero);
    print("cell", cell);
    print("pair", pair);
    print("serial", serial);
    print("extreme", extreme, true);
    return 0;
}

int long_sums(int64_t total) {  // few sums over many numbers: |z| > 3.0, 3.5, ... 6.5; exact zeros; z, z^2, z^4
    std::vector<double> over(8), zero(1), power(3);
    static float z[CHUNK];
    for (int64_t chunk = 0; chunk < total / CHUNK; chunk++) {
        normal_chunk(key, chunk, z);
        for (int t = 0; t < 8; t++) {
            int count = 0;
            const float bound = 3.0f + 0.5f * (float)t;
            for (int i = 0; i < N; i++) count += std::fabs(z[i]) > bound;
            over[t] += count;
        }
        int zeros = 0;
        double sum[3] = {};
        for (int i = 0; i < N; i++) {
            zeros += z[i] == 0.0f;
            const double x = z[i], x2 = x * x;
            sum[0] += x;
            sum[1] += x2;
            sum[2] += x2 * x2;
        }
        zero[0] += zeros;
        for (int j = 0; j < 3; j++) power[j] += sum[j];
    }
    std::printf("{");
    print("over", over);
    print("zero", zero);
    print("power", power, true);
    return 0;
}

// Seeding.

struct Flips {  // how often each bit was set
    double count[64] = {};
    int64_t n = 0;
    uint32_t block[64] = {};
    void add(uint64_t v) {
        for (int b = 0; b < 64; b++) block[b] += (uint32_t)(v >> b) & 1u;
        if (++n % (1 << 24) == 0) close();
    }
    void close() {
        for (int b = 0; b < 64; b++) {
            count[b] += block[b];
            block[b] = 0;
        }
    }
    std::vector<double> scores() {  // standard scores of the excess over one half
        close();
        std::vector<double> z;
        for (double c : count) z.push_back((2.0 * c - (double)n) / std::sqrt((double)n));
        return z;
    }
};

uint64_t unmix(uint64_t z) {  // the inverse of mix
    auto unshift = [](uint64_t y, int k) {
        uint64_t x = y;
        for (int i = k; i < 64; i += k) x = y ^ (x >> k);
        return x;
    };
    auto inverse = [](uint64_t m) {
        uint64_t x = m;
        for (int i = 0; i < 6; i++) x *= 2 - m * x;
        return x;
    };
    z = unshift(z, 31) * inverse(0x94d049bb133111ebull);
    z = unshift(z, 27) * inverse(0xbf58476d1ce4e5b9ull);
    return unshift(z, 30) - 0x9e3779b97f4a7c15ull;
}

int seeding(int64_t n) {
    std::mt19937_64 source(key);
    std::printf("{");
    // 1. Bits of mix(x) ^ mix(x + d): words of the seeds of one chunk are the hashes of 32 consecutive numbers.
    static Flips steps[32], states[4], outputs[LANES];
    for (int64_t i = 0; i < n; i++) {
        const uint64_t x = source(), m = mix(x);
        for (int d = 1; d < 32; d++) steps[d].add(m ^ mix(x + (uint64_t)d));
    }
    for (int d = 1; d < 32; d++) print(("step_" + std::to_string(d)).c_str(), steps[d].scores());
    // 2. State and first words of neighbouring lanes over random keys.
    for (int64_t i = 0; i < n / 8; i++) {
        Lanes lanes(source() % KEYS, (uint64_t)i % 1024);
        for (int l = 0; l < LANES - 1; l++) {
            states[0].add((uint64_t)(lanes.a[l] ^ lanes.a[l + 1]) << 32 | (lanes.b[l] ^ lanes.b[l + 1]));
            states[1].add((uint64_t)(lanes.c[l] ^ lanes.c[l + 1]) << 32 | (lanes.d[l] ^ lanes.d[l + 1]));
        }
        uint32_t p[LANES], q[LANES];
        lanes.next(p);
        lanes.next(q);
        for (int l = 0; l < LANES - 1; l++) outputs[l].add((uint64_t)(p[l] ^ p[l + 1]) << 32 | (q[l] ^ q[l + 1]));
    }
    print("state_ab", states[0].scores());
    print("state_cd", states[1].scores());
    for (int l = 0; l < LANES - 1; l++) print(("lanes_" + std::to_string(l)).c_str(), outputs[l].scores());
    // 3. The first two words of lane 0 when one bit of the key is flipped, and when one of the low chunk bits is.
    for (int bit = 0; bit < 62 + 24; bit++) {
        Flips flips;
        for (int64_t i = 0; i < n / 64; i++) {
            const uint64_t k = source() % KEYS, c = source() % (1 << 24);
            uint32_t p[2 * LANES], q[2 * LANES];
            head(k, c, p, 2 * LANES);
            head(bit < 62 ? k ^ (1ull << bit) : k, bit < 62 ? c : c ^ (1ull << (bit - 62)), q, 2 * LANES);
            flips.add((uint64_t)(p[0] ^ q[0]) << 32 | (p[LANES] ^ q[LANES]));
        }
        print(("flip_" + std::to_string(bit)).c_str(), flips.scores());
    }
    // 4. Keys made so that two chunks agree: what the seeding cannot rule out between calls.
    uint32_t p[CHUNK], q[CHUNK], r[CHUNK], t[CHUNK];
    uint64_t c = 1;
    while ((mix(0) ^ mix(c)) >> 62) c++;
    const uint64_t other = key ^ mix(0) ^ mix(c);
    whole(key, 0, p);
    whole(other, c, q);
    whole(key, c, r);
    whole(other, 0, t);
    const double same = std::memcmp(p, q, sizeof p) == 0, mirrored = std::memcmp(r, t, sizeof r) == 0;
    uint64_t shifted = 0;
    for (c = 0;; c++) {
        shifted = unmix(mix(key ^ mix(0)) + 2) ^ mix(c);
        if (shifted < KEYS) break;
    }
    whole(shifted, c, q);
    int agree = 0;  // words of p's lane l + 1 that are those of q's lane l
    for (int i = 0; i < N; i += LANES)
        for (int l = 0; l < LANES - 1; l++) agree += p[i + l + 1] == q[i + l];
    print("same", {same, mirrored, (double)agree / (N / LANES * (LANES - 1))}, true);
    return 0;
}

int run(int argc, char** argv) {  // what, key, and what that needs
    const std::string what = argc > 1 ? argv[1] : "";
    if (argc > 2) key = std::strtoull(argv[2], nullptr, 10) % KEYS;
    twister.seed((uint32_t)key);
    const int64_t n = argc > 3 ? std::atoll(argv[3]) : 0;
    if (what == "names") {
        for (const Stream& s : STREAMS) std::printf("%s\n", s.name);
        return 0;
    }
    if (what == "words" || what == "numbers") {  // the first n words or normal numbers of a key, for a fingerprint
        for (int64_t c = 0; c < n / CHUNK; c++) {
            if (what == "words")
                whole(key, (uint64_t)c, buffer);
            else
                normal_chunk(key, c, (float*)buffer);
            std::fwrite(buffer, 4, CHUNK, stdout);
        }
        return 0;
    }
    if (what == "normals") return normal_sums(n, argc > 4);
    if (what == "long") return long_sums(n);
    if (what == "seeding") return seeding(n);
#ifdef BATTERY
    if ((what == "smallcrush" || what == "crush") && argc > 4)
        for (const Stream& s : STREAMS)
            if (s.name == std::string(argv[3])) {
                fill = s.fill;
                return battery(what, argv[4]);
            }
#endif
    std::fprintf(stderr, "unknown: %s (or TestU01 was not there when this was compiled)\n", what.c_str());
    return 2;
}

}  // namespace
}  // namespace trial

int main(int argc, char** argv) { return trial::run(argc, argv); }
