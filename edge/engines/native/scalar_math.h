/* Elementary functions in FP32 that a compiler vectorizes: no branch, no table, no call.
 *
 * A value that is not a number stays one: a corrupt input must be seen in the actions.
 */
#ifndef OAT_SCALAR_MATH_H
#define OAT_SCALAR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x by 2^n * e^r with |r| <= ln(2)/2 and e^r by its Taylor polynomial of degree 7. */
static inline float exp_float(float x)
{
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f; /* ln 2 in two parts, the first exact in few bits */
    r = r + n * 2.12194440e-4f;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    float kept = n == n ? n : 0.0f; /* converting what is not a number is undefined; p is it still */
    int32_t bits = ((int32_t)kept + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Error function: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26; 1.5e-7. */
static inline float erf_float(float x)
{
    float size = fabsf(x);
    float t = 1.0f / (1.0f + 0.3275911f * size);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    return copysignf(1.0f - p * t * exp_float(-size * size), x);
}

static inline float sigmoid_float(float x) { return 1.0f / (1.0f + exp_float(-x)); }

static inline float tanh_float(float x)
{
    float e = exp_float(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + u) with u = e^-|x| in (0, 1]; ln(1 + u) = 2 atanh(u / (2 + u)). */
static inline float softplus_float(float x)
{
    float u = exp_float(-fabsf(x));
    float t = u / (2.0f + u);
    float s = t * t;
    float p = 1.0f / 13.0f;
    p = p * s + 1.0f / 11.0f;
    p = p * s + 1.0f / 9.0f;
    p = p * s + 1.0f / 7.0f;
    p = p * s + 1.0f / 5.0f;
    p = p * s + 1.0f / 3.0f;
    p = p * s + 1.0f;
    return (x < 0.0f ? 0.0f : x) + 2.0f * t * p;
}

#endif
