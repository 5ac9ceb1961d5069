/* Logits that a program printed against recorded ones.
 *
 *     compare_logits ROWS.json RECORDED.f32       predict --logits --json, a line a picture; the
 * same as raw floats
 *
 * prints the largest difference as a share of the picture's largest logit, of the worst picture,
 * and `nan` where the numbers of logits differ or one is not finite. */
#include "config.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static double row_error(const json_t *logits, FILE *want)
{
    double largest = 1e-30, difference = 0.0;
    for (size_t i = 0; i < json_array_size(logits); i++) {
        float w;
        double g = json_number_value(json_array_get(logits, i));
        if (fread(&w, sizeof w, 1, want) != 1 || !json_is_number(json_array_get(logits, i)))
            return NAN;
        largest = fmax(largest, fabs((double)w));
        difference = fmax(difference, fabs(g - (double)w));
    }
    return difference / largest;
}

int main(int argc, char **argv)
{
    static char line[1 << 20];
    double worst = 0.0;
    bool sound = true;
    size_t rows = 0;
    FILE *got = argc == 3 ? fopen(argv[1], "r") : NULL,
         *want = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (!got || !want) {
        fprintf(stderr, "usage: compare_logits ROWS.json RECORDED.f32, both of which exist\n");
        return 1;
    }
    for (; fgets(line, sizeof line, got); rows++) {
        json_t *row = json_loads(line, 0, NULL);
        double error = row_error(json_object_get(row, "logits"), want);
        sound = sound && isfinite(error);
        worst = fmax(worst, error);
        json_decref(row);
    }
    sound = sound && rows && fgetc(want) == EOF;
    printf("%.2e\n", sound ? worst : (double)NAN);
    fclose(got);
    fclose(want);
    return 0;
}
