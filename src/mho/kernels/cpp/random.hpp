// Normal numbers with addresses: one generator for every key and chunk.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "rows.hpp"

namespace {

constexpr int LANES = T;
constexpr int BLOCK = 2 * LANES;  // numbers that one step of the generator gives
constexpr int64_t CHUNK = 8192;  // numbers of one seed in streams of their own; a multiple of BLOCK

inline uint64_t mix(uint64_t z) {  // splitmix64, Steele et al. 2014
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

inline Words rotl(Words x, int k) { return (x << k) | (x >> (32 - k)); }

struct Lanes {  // xoshiro128++ (Blackman & Vigna 2021), one generator a lane, seeded from (key, chunk, lane)
    Words a, b, c, d;

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

    inline Words next() {
        const Words out = rotl(a + d, 7) + a, t = b << 9;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= t;
        d = rotl(d, 11);
        return out;
    }
};

// -2 ln x for x in (0, 1], without branches: the exponent apart, a polynomial of least relative error (2e-7) for the rest.
inline Row minus_two_logarithm(Row x) {
    const Words from_root_half = (Words)x - 0x3f3504f3u;  // sqrt(1/2) <= m < sqrt(2)
    const Row e = __builtin_convertvector((Whole)from_root_half >> 23, Row);
    const Row m = (Row)((from_root_half & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    Row y = Row{} + 0.2021307498216629f;
    for (const float term : {-0.3244485557079315f, 0.34501761198043823f, -0.3980037271976471f, 0.4993981420993805f,
                             -0.6667011380195618f, 1.0000072717666626f, -1.9999998807907104f})
        y = fused(y, m, Row{} + term);
    return fused(y, m, e * -1.3862943611198906f);
}

// Two normal numbers a lane from two words (Box & Muller 1958). Of the second word, 30 bits are an angle within a
// quarter turn around 0 and two choose the quarter.
inline void box_muller(Words first, Words second, Row& one, Row& two) {
    // 31 bits, (0, 1]: the tails reach 6.6 standard deviations.
    const Row u = fused(__builtin_convertvector((Whole)(first >> 1), Row), Row{} + 4.656612873077393e-10f,
                        Row{} + 2.3283064365386963e-10f);
    const Row radius = root(minus_two_logarithm(u));
    const Row t = __builtin_convertvector((Whole)(second << 2), Row) * 2.3283064365386963e-10f, z = t * t;  // quarter turns
    Row s = fused(z, Row{} - 0.00460165785625577f, Row{} + 0.07968003302812576f);
    s = fused(z, s, Row{} - 0.6459634900093079f);
    s = fused(z, s, Row{} + 1.5707963705062866f) * t * radius;
    Row c = fused(z, Row{} - 0.02039858140051365f, Row{} + 0.25359493494033813f);
    c = fused(z, c, Row{} - 1.233696699142456f);
    c = fused(z, c, Row{} + 0.9999999403953552f) * radius;
    c = (Row)((Words)c ^ (second & 0x80000000u));
    const Whole swap = (Whole)(second << 1) < 0;
    one = swap ? s : c;
    two = swap ? c : s;
}

inline void normals(Lanes& lanes, Row z[2]) {  // BLOCK numbers
    const Words p = lanes.next(), q = lanes.next();
    box_muller(p, q, z[0], z[1]);
}

inline void normals(Lanes& lanes, float* out, int64_t n) {  // n is rounded up to a multiple of BLOCK
    for (int64_t i = 0; i < n; i += BLOCK) {
        Row z[2];
        normals(lanes, z);
        std::memcpy(out + i, z, sizeof(z));
    }
}

void normals_of(uint64_t key, int64_t chunk, float* out, int64_t count) {  // the first numbers of a chunk
    alignas(64) float z[CHUNK];
    Lanes lanes(key, (uint64_t)chunk);
    normals(lanes, z, count);
    std::memcpy(out, z, sizeof(float) * count);
}

}  // namespace

extern "C" {

int64_t mho_chunk() { return CHUNK; }

// Raw words of chunks [first, last), for tests of the bit stream: CHUNK words a chunk.
void mho_words(uint32_t* out, uint64_t key, int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
        Lanes lanes(key, (uint64_t)chunk);
        for (int64_t i = 0; i < CHUNK; i += LANES) {
            const Words next = lanes.next();
            std::memcpy(out + (chunk - first) * CHUNK + i, &next, sizeof(next));
        }
    }
}

}  // extern "C"
