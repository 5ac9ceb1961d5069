/* Decoded and resized pixels against Pillow's and timm's, recorded by pictures.py as hashes in
 * pictures.txt.
 *
 * Each column of the table is a test over the files of pictures/, which stand beside it, and one
 * over the photos of
 * ../shared/data, which are skipped where they are missing. The table's head says what a column
 * is. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "runtime/data/augment.h"

#define COLUMNS 32
#define CELL    80 /* longest name of a column or file */
#define SHOWN   5  /* differing pictures named per column */

/* A column: pixels as decoded where filter is "", else as the network sees them. */
struct column {
    char name[CELL], filter[16], fit[16], mode[16];
    int width, height;
    double crop;
    struct vrt_pipeline pipeline;
};

struct table {
    struct column columns[COLUMNS];
    int n;
};

/* Where the files of a row lie: its name begins with the prefix. */
struct set {
    const char *prefix;
    char folder[4096];
    int rows, compared[COLUMNS], wrong[COLUMNS];
    char names[COLUMNS][SHOWN][CELL];
};

static int tests, failures;

static void tell(bool ok, const char *what, const char *name, const char *end)
{
    failures += !ok;
    printf("%sok %d - %s %s%s\n", ok ? "" : "not ", ++tests, what, name, end);
}

static _Noreturn void stop(const char *what, const char *about)
{
    printf("Bail out! %s %s\n", what, about);
    exit(1);
}

/* --- the table --- */

/* FILTER/WIDTHxHEIGHT/CROP/FIT/MODE. Mean 0 and std 1 leave v / 255 of a byte v, from which it
 * comes back exactly. */
static void read_column(struct column *c, const char *name)
{
    struct vrt_transform t = {.std = {1, 1, 1}};
    struct vrt_error e;

    snprintf(c->name, sizeof c->name, "%s", name);
    if (strchr(name, '/') == NULL) {
        snprintf(c->mode, sizeof c->mode, "%s", name);
        return;
    }
    if (sscanf(name, "%15[a-z]/%dx%d/%lf/%15[a-z]/%15[a-zA-Z]", c->filter, &c->width, &c->height,
               &c->crop, c->fit, c->mode) != 6)
        stop("no such column:", name);
    t.width = c->width;
    t.height = c->height;
    t.channels = strcmp(c->mode, "L") == 0 ? 1 : 3;
    t.resample = strcmp(c->filter, "bicubic") == 0 ? VRT_BICUBIC : VRT_BILINEAR;
    t.squash = strcmp(c->fit, "squash") == 0;
    t.crop_pct = c->crop;
    if (strcmp(c->mode, "float") == 0) {
        memcpy(t.mean, (double[]){0.485, 0.456, 0.406}, sizeof t.mean);
        memcpy(t.std, (double[]){0.229, 0.224, 0.225}, sizeof t.std);
    }
    if (!vrt_pipeline_make(&c->pipeline, &t, &e))
        stop(name, e.text);
}

static void read_head(struct table *table, char *line)
{
    int skipped = 0;

    for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        if (skipped++ < 2)
            continue;
        if (table->n == COLUMNS)
            stop("too many columns:", word);
        read_column(&table->columns[table->n++], word);
    }
    if (table->n == 0)
        stop("no columns in", "pictures.txt");
}

/* --- a picture --- */

static uint64_t seen_hash(const struct column *c, const struct vrt_image *image,
                          struct vrt_scratch *s, const char *path)
{
    const struct vrt_transform *t = &c->pipeline.transform;
    size_t count = (size_t)t->width * (size_t)t->height * (size_t)t->channels;
    float *input = malloc(count * sizeof *input);
    struct vrt_error e;
    uint64_t hash;

    if (input == NULL || !vrt_pipeline_apply(&c->pipeline, image, s, NULL, input, &e))
        stop(path, input == NULL ? "no memory" : e.text);
    if (strcmp(c->mode, "float") == 0) {
        hash = XXH3_64bits(input, count * sizeof *input);
    } else {
        uint8_t *bytes = (uint8_t *)input; /* byte i is written after float i is read */
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)lrintf(input[i] * 255.0f);
        hash = XXH3_64bits(bytes, count);
    }
    free(input);
    return hash;
}

static void compare(struct set *set, int column, const char *name, bool same)
{
    set->compared[column]++;
    if (same)
        return;
    if (set->wrong[column] < SHOWN)
        snprintf(set->names[column][set->wrong[column]], CELL, "%s", name);
    set->wrong[column]++;
}

/* `line` goes on behind the name: WIDTHxHEIGHT, then the hashes. */
static void compare_row(struct set *set, const struct table *table, const char *name, char *line)
{
    static struct vrt_image images[4]; /* by channels: the file as RGB and as luma */
    static struct vrt_scratch scratch;
    char path[sizeof set->folder + CELL], size[32] = "";
    struct vrt_error e;

    snprintf(path, sizeof path, "%s/%s", set->folder, name);
    for (int channels = 1; channels <= 3; channels += 2)
        if (!vrt_image_read(&images[channels], path, channels, &e))
            stop("cannot read", e.text);
    snprintf(size, sizeof size, "%dx%d", images[3].width, images[3].height);
    char *word = strtok(line, " \n");
    bool right_size = word != NULL && strcmp(word, size) == 0;
    for (int i = 0; i < table->n; i++) {
        const struct column *c = &table->columns[i];
        const struct vrt_image *image = &images[strcmp(c->mode, "L") == 0 ? 1 : 3];
        word = strtok(NULL, " \n");
        if (word == NULL)
            stop("a row is cut short:", name);
        uint64_t hash = *c->filter != 0 ? seen_hash(c, image, &scratch, path)
                                        : XXH3_64bits(image->pixels.data, image->pixels.size);
        compare(set, i, name, right_size && hash == strtoull(word, NULL, 16));
    }
    set->rows++;
}

static void report(const struct set *set, const struct table *table)
{
    for (int i = 0; i < table->n; i++) {
        char count[64];
        snprintf(count, sizeof count, ": %d of %d alike", set->compared[i] - set->wrong[i],
                 set->compared[i]);
        tell(set->wrong[i] == 0 && set->compared[i] > 0, set->prefix, table->columns[i].name,
             count);
        for (int j = 0; j < set->wrong[i] && j < SHOWN; j++)
            printf("#   %s differs\n", set->names[i][j]);
    }
}

int main(void)
{
    static struct table table;
    static struct set sets[2] = {{.prefix = "pictures"}, {.prefix = "photos"}};
    static char line[8192];
    const char *top = getenv("top_srcdir");
    char path[4096];
    struct stat st;

    if (top == NULL)
        top = ".";
    snprintf(sets[0].folder, sizeof sets[0].folder, "%s/tests/reference/pictures", top);
    snprintf(sets[1].folder, sizeof sets[1].folder, "%s/../shared/data/imagenet-sample", top);
    bool photos = stat(sets[1].folder, &st) == 0;
    snprintf(path, sizeof path, "%s/tests/reference/pictures.txt", top);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof line, f) == NULL)
        stop("cannot read", path);
    read_head(&table, line);
    while (fgets(line, sizeof line, f) != NULL) {
        char *name = strchr(line, '/'), *rest = strchr(line, ' ');
        if (name == NULL || rest == NULL || name > rest)
            stop("a row without a name in", path);
        *name++ = *rest++ = 0;
        struct set *set = strcmp(line, sets[0].prefix) == 0 ? &sets[0] : &sets[1];
        if (set == &sets[0] || photos)
            compare_row(set, &table, name, rest);
    }
    fclose(f);
    report(&sets[0], &table);
    if (photos)
        report(&sets[1], &table);
    else
        tell(true, "photos", "as Pillow decodes and resizes them",
             " # SKIP no ../shared/data/imagenet-sample");
    printf("1..%d\n", tests);
    return failures != 0;
}
