/* Is a claimed derivative that of a function, which is computed with rounding errors and may have
 * kinks? A judgement of numbers alone; the function is the caller's. */
#ifndef RUNTIME_PROGRAM_DERIVATIVE_H
#define RUNTIME_PROGRAM_DERIVATIVE_H

/* A function along a line, known at steps of 0 and +-2^-i, i = 0 .. 21. */
struct vrt_line {
    double (*value)(void *data, double step);
    void *data;
    double centre; /* its value at step 0 */
    double length; /* of a step of 1: derivatives are by length */
    double noise;  /* standard deviation of the rounding errors of a value */
    /* That of the claimed derivative; asked for where the claim seems wrong. */
    double (*claim_noise)(void *data);
};

enum vrt_verdict {
    VRT_RIGHT,
    VRT_WRONG,
    VRT_UNCLEAR_NOISE, /* nothing can be said: the function hardly changes along the line, */
    VRT_UNCLEAR_SHAPE, /* it bends, or has kinks, more sharply than its noise lets one see, */
    VRT_UNCLEAR_VALUE, /* or it is not finite */
    VRT_VERDICTS
};

struct vrt_judgement {
    enum vrt_verdict verdict;
    double numeric; /* derivative by differences, */
    double error;   /* and how far the claim is from it, relative to the larger of the two */
};

struct vrt_judgement vrt_derivative_judge(const struct vrt_line *line, double claimed);

#endif
