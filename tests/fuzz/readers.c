/* Files of each kind through their readers. Input: bytes. Output: read, refused with a reason, or
 * wrong. */
#include "tests/fuzz/readers.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "runtime/io/adapt.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/state.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/seeds.h"

enum { PATH = 300 };

const char *const fuzz_failures[] = {"refused without a reason", "a picture of a wrong size", NULL};

/* Always a new file: some file systems wait for the disk when an old one is cut and written
 * again. */
static void write_file(const char *root, const char *name, const struct fuzz_bytes *b)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    fuzz_must(fd >= 0 && write(fd, b->data, b->size) == (ssize_t)b->size && close(fd) == 0, path);
}

/* A whole file, once. */
static void write_whole(const char *root, const char *name, void (*make)(struct fuzz_bytes *b))
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (access(path, F_OK) == 0)
        return;
    struct fuzz_bytes b = fuzz_bytes_new(FUZZ_ROOM);
    make(&b);
    write_file(root, name, &b);
    fuzz_bytes_free(&b);
}

static int outcome_of(bool good, const struct vrt_error *e)
{
    return good ? CASE_TAKEN : *e->text ? CASE_REFUSED : FUZZ_NO_REASON;
}

static int read_picture(const char *root, const struct fuzz_bytes *b)
{
    struct vrt_image image = {.exif = b->size % 3 ? VRT_EXIF_TURN : VRT_EXIF_IGNORE};
    struct vrt_error e = {.text = ""};
    int channels = b->size % 2 ? 1 : 3;
    (void)root;
    bool good = vrt_image_decode(&image, (const uint8_t *)b->data, b->size, channels, &e);
    int outcome = outcome_of(good, &e);
    if (good &&
        (image.channels != channels ||
         image.pixels.size != (size_t)image.width * (size_t)image.height * (size_t)channels))
        outcome = FUZZ_WRONG_SIZE;
    vrt_image_free(&image);
    return outcome;
}

/* -- data sets -- */

static void read_items(const struct vrt_dataset *d)
{
    struct vrt_image image = {0};
    struct vrt_error e;
    char name[200];
    int64_t n = vrt_dataset_count(d);
    for (int64_t i = 0; i < n && i < 8; i++) {
        vrt_dataset_item_name(d, i, name, sizeof name);
        vrt_dataset_read(d, i, 1, &image, &e);
    }
    vrt_image_free(&image);
}

static int read_split(const char *root, const char *split, const struct vrt_dataset *classes_of,
                      struct vrt_dataset **d)
{
    struct vrt_error e = {.text = ""};
    bool good = vrt_dataset_open(d, root, split, classes_of, &e);
    if (good)
        read_items(*d);
    return outcome_of(good, &e);
}

static int read_dataset(const char *root)
{
    struct vrt_dataset *train = NULL, *val = NULL;
    int outcome = read_split(root, "train", NULL, &train);
    if (outcome != CASE_TAKEN)
        return outcome;
    outcome = read_split(root, "val", train, &val);
    if (outcome == CASE_TAKEN)
        vrt_dataset_close(val);
    vrt_dataset_close(train);
    return outcome;
}

static int read_archive(const char *root, const struct fuzz_bytes *b)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/archive", root);
    write_file(root, "archive", b);
    return read_dataset(path);
}

static int read_tars(const char *root, const struct fuzz_bytes *b)
{
    write_file(root, "train-000000.tar", b);
    write_file(root, "val-000000.tar", b);
    return read_dataset(root);
}

/* The other files of a training split. */
static void write_batches(const char *root)
{
    char name[40];
    for (int n = 2; n <= 5; n++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", n);
        write_whole(root, name, fuzz_make_cifar);
    }
}

static int read_cifar(const char *root, const struct fuzz_bytes *b)
{
    write_batches(root);
    write_file(root, "data_batch_1.bin", b);
    write_file(root, "test_batch.bin", b);
    return read_dataset(root);
}

static int read_cifar_names(const char *root, const struct fuzz_bytes *b)
{
    write_batches(root);
    write_whole(root, "data_batch_1.bin", fuzz_make_cifar);
    write_whole(root, "test_batch.bin", fuzz_make_cifar);
    write_file(root, "batches.meta.txt", b);
    return read_dataset(root);
}

/* Files that gzip made would end at their checksum: the damage is done before. */
static void write_idx(const char *root, const char *name, const struct fuzz_bytes *b, bool zip)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    unlink(path);
    gzFile f = gzopen(path, zip ? "wb1" : "wbT");
    fuzz_must(f && gzwrite(f, b->data, (unsigned)b->size) == (int)b->size && gzclose(f) == Z_OK,
              path);
}

static int read_idx(const char *root, const struct fuzz_bytes *pixels,
                    const struct fuzz_bytes *labels)
{
    static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    for (size_t i = 0; i < 4; i++)
        write_idx(root, names[i], i % 2 ? labels : pixels, (pixels->size + i) % 3 == 0);
    return read_dataset(root);
}

static int read_idx_pixels(const char *root, const struct fuzz_bytes *b)
{
    struct fuzz_bytes labels = fuzz_bytes_new(FUZZ_ROOM);
    fuzz_make_idx_labels(&labels);
    int outcome = read_idx(root, b, &labels);
    fuzz_bytes_free(&labels);
    return outcome;
}

static int read_idx_labels(const char *root, const struct fuzz_bytes *b)
{
    struct fuzz_bytes pixels = fuzz_bytes_new(FUZZ_ROOM);
    fuzz_make_idx_pixels(&pixels);
    int outcome = read_idx(root, &pixels, b);
    fuzz_bytes_free(&pixels);
    return outcome;
}

/* -- labels of a folder of pictures -- */

static int read_labels(const char *root, const char *file, const struct fuzz_bytes *b)
{
    struct vrt_dataset *d = NULL;
    char name[PATH];
    snprintf(name, sizeof name, "%s/val", root);
    mkdir(name, 0777);
    for (int i = 1; i <= 3; i++) {
        snprintf(name, sizeof name, "val/val_%08d.png", i);
        write_whole(root, name, fuzz_make_png_gray);
    }
    write_file(root, file, b);
    int outcome = read_split(root, "val", NULL, &d);
    if (outcome == CASE_TAKEN)
        vrt_dataset_close(d);
    return outcome;
}

static int read_numbers(const char *root, const struct fuzz_bytes *b)
{
    return read_labels(root, "val.txt", b);
}

static int read_solution(const char *root, const struct fuzz_bytes *b)
{
    return read_labels(root, "LOC_val_solution.csv", b);
}

static int read_annotations(const char *root, const struct fuzz_bytes *b)
{
    return read_labels(root, "val/val_annotations.txt", b);
}

static int read_truth(const char *root, const struct fuzz_bytes *b)
{
    return read_labels(root, "ILSVRC2012_validation_ground_truth.txt", b);
}

static int read_kit(const char *root, const struct fuzz_bytes *b)
{
    return read_labels(root, "ILSVRC2012_devkit_t12.tar.gz", b);
}

/* -- weights and states -- */

static void fresh(void *data, int64_t param)
{
    (void)data, (void)param;
}

/* A row of the file may be missing, or twice. */
static bool match(void *data, int64_t in_file, int32_t *rows, int64_t count, struct vrt_error *e)
{
    (void)data, (void)e;
    for (int64_t i = 0; i < count; i++)
        rows[i] = (int32_t)(in_file / 2 - i);
    return true;
}

static int read_weights(const char *root, const struct fuzz_bytes *b)
{
    static const struct vrt_role roles[] = {{0, VRT_ROLE_HEAD, 0, 0, 0},
                                            {2, VRT_ROLE_POSITIONS, 2, 2, 0}};
    static const struct vrt_moe moes[] = {{.name = "a", .prefix = "a", .experts = 2, .top_k = 1}};
    struct vrt_tensors *t = NULL;
    struct vrt_error e = {.text = ""};
    float block[64] = {0};
    const struct vrt_program program = {.params = fuzz_params,
                                        .nparams = FUZZ_NPARAMS,
                                        .roles = roles,
                                        .nroles = 2,
                                        .moes = moes,
                                        .nmoes = 1};
    const struct vrt_adapt how = {.fine_tune = true, .fresh = fresh, .match = match};
    struct vrt_buffer notes = {0};
    char path[PATH];
    snprintf(path, sizeof path, "%s/weights.safetensors", root);
    write_file(root, "weights.safetensors", b);
    if (!vrt_tensors_open(&t, path, &e))
        return outcome_of(false, &e);
    vrt_tensors_meta(t, "classes");
    bool good = vrt_adapt_load(t, &program, &how, block, &notes, &e);
    vrt_buffer_free(&notes);
    vrt_tensors_close(t);
    return outcome_of(good, &e);
}

/* One state is damaged and the other whole, or both are damaged. */
static int read_state(const char *root, const struct fuzz_bytes *b)
{
    static struct fuzz_bytes whole; /* kept: making one waits for the disk */
    struct vrt_state *s = NULL;
    struct vrt_error e = {.text = ""};
    float values[FUZZ_BLOCK];
    const struct vrt_state_block blocks[2] = {{values, sizeof values}, {values, 0}};
    char note[500];
    if (!whole.data) {
        whole = fuzz_bytes_new(FUZZ_ROOM);
        fuzz_make_state(&whole);
    }
    write_file(root, "0.state", b);
    write_file(root, "1.state", b->size % 2 ? &whole : b);
    bool good = vrt_state_open(&s, root, UINT64_MAX, note, sizeof note, &e);
    good = good && strlen(vrt_state_text(s)) < FUZZ_ROOM && vrt_state_read(s, blocks, 2, &e);
    vrt_state_close(s);
    return outcome_of(good, &e);
}

/* -- all of them -- */

const struct fuzz_kind fuzz_kinds[FUZZ_KINDS] = {
    {"rgb.jpg", read_picture, fuzz_make_jpeg_rgb, fuzz_mend_jpeg},
    {"gray.jpg", read_picture, fuzz_make_jpeg_gray, fuzz_mend_jpeg},
    {"cmyk.jpg", read_picture, fuzz_make_jpeg_cmyk, fuzz_mend_jpeg},
    {"progressive.jpg", read_picture, fuzz_make_jpeg_progressive, fuzz_mend_jpeg},
    {"rgba.png", read_picture, fuzz_make_png_rgba, fuzz_mend_png},
    {"gray.png", read_picture, fuzz_make_png_gray, fuzz_mend_png},
    {"palette.png", read_picture, fuzz_make_png_palette, fuzz_mend_png},
    {"pax.tar", read_archive, fuzz_make_tar, fuzz_mend_tar},
    {"gnu.tar", read_archive, fuzz_make_gnu_tar, fuzz_mend_tar},
    {"pax.tar.gz", read_archive, fuzz_make_tar_gz, NULL},
    {"tars.tar", read_tars, fuzz_make_tar_of_tars, fuzz_mend_tar},
    {"shard.tar", read_tars, fuzz_make_shard, fuzz_mend_tar},
    {"kit.tar", read_kit, fuzz_make_kit, fuzz_mend_tar},
    {"numbers.txt", read_numbers, fuzz_make_numbers, NULL},
    {"truth.txt", read_truth, fuzz_make_truth, NULL},
    {"solution.csv", read_solution, fuzz_make_solution, NULL},
    {"annotations.txt", read_annotations, fuzz_make_annotations, NULL},
    {"cifar.bin", read_cifar, fuzz_make_cifar, fuzz_mend_cifar},
    {"cifar.txt", read_cifar_names, fuzz_make_cifar_names, NULL},
    {"pixels.idx", read_idx_pixels, fuzz_make_idx_pixels, fuzz_mend_idx_pixels},
    {"labels.idx", read_idx_labels, fuzz_make_idx_labels, fuzz_mend_idx_labels},
    {"weights.safetensors", read_weights, fuzz_make_weights, fuzz_mend_weights},
    {"one.state", read_state, fuzz_make_state, fuzz_mend_state},
};

int fuzz_read(const struct fuzz_kind *k, const char *folder, const struct fuzz_bytes *b)
{
    char root[PATH / 2];
    snprintf(root, sizeof root, "%s/%s", folder, k->name);
    mkdir(root, 0777);
    return k->read(root, b);
}
