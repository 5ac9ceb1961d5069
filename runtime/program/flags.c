/* The table of the commands' flags, which commands have those of keys, and the help that both make:
 * see flags.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/show.h"
#include "runtime/program/flags.h"
#include "runtime/program/message.h"

static const struct vrt_flag flags[] = {
    {"out", FLAG_TEXT, VRT_TRAIN | VRT_REPORT, offsetof(struct vrt_options, out), 0, 0, "FOLDER",
     "the run folder (default runs/NAME)"},
    {"resume", FLAG_SWITCH, VRT_TRAIN, offsetof(struct vrt_options, resume), 0, 0, NULL,
     "go on with the run in --out; before any state exists it starts afresh"},
    {"dry-run", FLAG_SWITCH, VRT_TRAIN, offsetof(struct vrt_options, dry_run), 0, 0, NULL,
     "a few steps of everything, then the time and memory that the training will take; nothing is "
     "kept"},
    {"save-every", FLAG_WHOLE, VRT_TRAIN, offsetof(struct vrt_options, save_every), 1, 1e12,
     "STEPS", "save the state that often (default: about every two minutes, and after each epoch)"},
    {"weights", FLAG_TEXT, VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_BENCH,
     offsetof(struct vrt_options, weights), 0, 0, "FILE",
     "weights to start from or to use (.safetensors)"},
    {"upcycle", FLAG_SWITCH, VRT_TRAIN | VRT_EVAL | VRT_PREDICT,
     offsetof(struct vrt_options, upcycle), 0, 0, NULL,
     "make experts of the dense layers in --weights, one copy each"},
    {"upcycle-noise", FLAG_NUMBER, VRT_TRAIN | VRT_EVAL | VRT_PREDICT,
     offsetof(struct vrt_options, upcycle_noise), 0, 100, "S",
     "add noise to the copies, of S standard deviations (default 0)"},
    {"keep-experts", FLAG_TEXT, VRT_TRAIN | VRT_EVAL | VRT_PREDICT,
     offsetof(struct vrt_options, keep_experts), 0, 0, "LIST",
     "the experts to take where --weights has more: 0,2,5, or LAYER=0,2;LAYER=1,3"},
    {"split", FLAG_TEXT, VRT_EVAL | VRT_PREDICT, offsetof(struct vrt_options, split), 0, 0, "NAME",
     "train, val or test (default: data.val)"},
    {"split", FLAG_TEXT, VRT_CHECK_DATA, offsetof(struct vrt_options, split), 0, 0, "NAME",
     "one split only (default: train and val)"},
    {"per-class", FLAG_TEXT, VRT_EVAL, offsetof(struct vrt_options, per_class), 0, 0, "FILE.csv",
     "write the hits of each class (-: to stdout, and the result to stderr; so for all tables)"},
    {"confusion", FLAG_TEXT, VRT_EVAL, offsetof(struct vrt_options, confusion), 0, 0, "FILE.csv",
     "write how often which class was taken for which"},
    {"class-map", FLAG_TEXT, VRT_TRAIN | VRT_EVAL, offsetof(struct vrt_options, class_map), 0, 0,
     "FILE|natural",
     "what the outputs in --weights are: lines with the output of each class of the data, or with "
     "the name of each output; natural: the data's classes as timm sorts folders"},
    {"mask-classes", FLAG_SWITCH, VRT_EVAL, offsetof(struct vrt_options, mask_classes), 0, 0, NULL,
     "score over the data's classes alone (default: where they are a part, and the folder a set of "
     "its own)"},
    {"all-classes", FLAG_SWITCH, VRT_EVAL, offsetof(struct vrt_options, all_classes), 0, 0, NULL,
     "always score over all classes"},
    {"real", FLAG_TEXT, VRT_EVAL, offsetof(struct vrt_options, real), 0, 0, "FILE.json",
     "count by the ReaL labels of ImageNet's validation pictures, too"},
    {"experts", FLAG_TEXT, VRT_EVAL, offsetof(struct vrt_options, experts), 0, 0, "FILE.csv",
     "write what each expert got of each class"},
    {"similarity", FLAG_TEXT, VRT_EVAL, offsetof(struct vrt_options, similarity), 0, 0, "FILE.csv",
     "write how alike the pictures of the experts are"},
    {"top", FLAG_WHOLE, VRT_PREDICT, offsetof(struct vrt_options, top), 1, 1e6, "N",
     "classes per picture (default 5)"},
    {"logits", FLAG_SWITCH, VRT_PREDICT, offsetof(struct vrt_options, logits), 0, 0, NULL,
     "all logits as well"},
    {"features", FLAG_SWITCH, VRT_PREDICT, offsetof(struct vrt_options, features), 0, 0, NULL,
     "the input of the last layer as well"},
    {"exif", FLAG_SWITCH, VRT_PREDICT, offsetof(struct vrt_options, exif), 0, 0, NULL,
     "turn pictures upright as their EXIF orientation says, which training does not"},
    {"batch", FLAG_WHOLE, VRT_BENCH, offsetof(struct vrt_options, batch), 1, 1e9, "IMAGES",
     "pictures per call (default: as many as the program holds)"},
    {"train", FLAG_SWITCH, VRT_BENCH, offsetof(struct vrt_options, train), 0, 0, NULL,
     "measure training steps"},
    {"seconds", FLAG_NUMBER, VRT_BENCH, offsetof(struct vrt_options, seconds), 0.01, 1e6, "S",
     "how long to measure (default 3)"},
    {"threads", FLAG_WHOLE, VRT_ALL & ~(VRT_INFO | VRT_REPORT),
     offsetof(struct vrt_options, threads), 1, 1024, "N",
     "threads (default: as many as `info` says); results do not depend on it"},
    {"json", FLAG_SWITCH, VRT_ALL, offsetof(struct vrt_options, json), 0, 0, NULL,
     "results as JSON"},
    {"help", FLAG_SWITCH, VRT_ALL, offsetof(struct vrt_options, help), 0, 0, NULL, "this text"},
};
enum { NFLAGS = sizeof flags / sizeof *flags };

/* Which commands offer the flags of keys: the first row whose path begins the key's. */
static const struct {
    const char *path;
    unsigned commands;
} key_commands[] = {
    {"data.train", VRT_TRAIN | VRT_CHECK_DATA},
    {"data.bad", VRT_TRAIN},
    {"data.holdout", VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_CHECK_DATA},
    {"data.", VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_CHECK_DATA | VRT_BENCH},
    {"train.seed", VRT_TRAIN | VRT_BENCH | VRT_GRADCHECK},
    {"", VRT_TRAIN},
};

const struct vrt_flag *vrt_flag_find(const char *name, unsigned commands)
{
    for (int i = 0; i < NFLAGS; i++)
        if (flags[i].commands & commands && strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

unsigned vrt_flag_commands(const struct vrt_key *key)
{
    size_t i = 0;
    while (strncmp(key->path, key_commands[i].path, strlen(key_commands[i].path)) != 0)
        i++;
    return key_commands[i].commands;
}

const struct vrt_key *vrt_flag_key(const struct vrt_program *p, const char *name)
{
    for (int64_t i = 0; i < p->nkeys; i++)
        if (p->keys[i].flag != NULL && strcmp(p->keys[i].flag, name) == 0)
            return &p->keys[i];
    return NULL;
}

const char **vrt_flag_names(const struct vrt_program *p, unsigned commands, size_t *n)
{
    const char **names = calloc((size_t)p->nkeys + NFLAGS, sizeof *names);
    *n = 0;
    for (int i = 0; names != NULL && i < NFLAGS; i++)
        if (flags[i].commands & commands)
            names[(*n)++] = flags[i].name;
    for (int64_t i = 0; names != NULL && i < p->nkeys; i++)
        if (p->keys[i].flag != NULL && p->keys[i].runtime &&
            vrt_flag_commands(&p->keys[i]) & commands)
            names[(*n)++] = p->keys[i].flag;
    return names;
}

static const char *const unit_text[] = {"", " epochs", " steps", " images", " px", " bytes"};

const char *vrt_flag_default(const struct vrt_key *key, char *text, size_t size)
{
    if (key->type == VRT_KEY_TEXT)
        snprintf(text, size, "\"%s\"", key->text != NULL ? key->text : "");
    else if (key->type == VRT_KEY_BOOL)
        snprintf(text, size, "%s", key->number != 0 ? "true" : "false");
    else
        snprintf(text, size, "%.15g%s", key->number,
                 key->unit >= 0 && key->unit <= VRT_UNIT_BYTES ? unit_text[key->unit] : "");
    return text;
}

static void help_row(const char *name, const char *argument, const char *help)
{
    char left[80];
    snprintf(left, sizeof left, "--%s%s%s", name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    vrt_print(stdout, "  %-24s %s\n", left, help);
}

static void help_keys(const struct vrt_options *o)
{
    const struct vrt_program *p = o->program;
    const struct vrt_command *c = o->command;
    help_row("set", "PATH=VALUE", "any of these keys:");
    for (int64_t i = 0; i < p->nkeys; i++) {
        char value[200];
        if (p->keys[i].runtime && (c->bit == VRT_TRAIN || vrt_flag_commands(&p->keys[i]) & c->bit))
            vrt_print(stdout, "      %-32s %s\n", p->keys[i].path,
                      vrt_flag_default(&p->keys[i], value, sizeof value));
    }
}

void vrt_flags_help(const struct vrt_options *o)
{
    const struct vrt_program *p = o->program;
    const struct vrt_command *c = o->command;
    static const char *const arguments[] = {"true|false", "N", "X", "TEXT"};
    char program[VRT_WORD];
    vrt_print(stdout, "%s %s [flags]%s%s\n", vrt_quote(program, sizeof program, o->argv[0]),
              c->name, c->operands ? " " : "", c->operands ? c->operands : "");
    vrt_print(stdout, "\n");
    vrt_print(stdout, "%s\n", c->summary);
    vrt_print(stdout, "\n");
    for (int i = 0; i < NFLAGS; i++)
        if (flags[i].commands & c->bit)
            help_row(flags[i].name, flags[i].argument, flags[i].help);
    for (int64_t i = 0; i < p->nkeys; i++) {
        const struct vrt_key *key = &p->keys[i];
        char help[400], value[200];
        if (key->flag == NULL || !key->runtime || !(vrt_flag_commands(key) & c->bit) ||
            vrt_flag_find(key->flag, c->bit) != NULL)
            continue;
        snprintf(help, sizeof help, "%s (%s)", key->help != NULL ? key->help : key->path,
                 vrt_flag_default(key, value, sizeof value));
        help_row(key->flag, arguments[key->type], help);
    }
    if (c->bit & VRT_SET_COMMANDS)
        help_keys(o);
    if (c->bit == VRT_TRAIN)
        vrt_print(stdout,
                  "\nExit status: 0 done; 1 bad input, data that have gone, a disk that is "
                  "full, or losses that are not finite;\n"
                  "2 wrong usage; 3 a fault of the program; 129, 130, 143 or 152 stopped by "
                  "SIGHUP, SIGINT, SIGTERM or SIGXCPU\n"
                  "after its step, with the state saved. SIGUSR1 saves the state and goes on. "
                  "train --resume --out FOLDER goes\n"
                  "on from the newest good state; no other flag is needed.\n");
}
