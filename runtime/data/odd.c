/* Telling pictures from other files: see odd.h. */
#include "runtime/data/odd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "runtime/data/image.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

bool vrt_odd_hidden(const char *name)
{
    static const char *const names[] = {"lost+found",   "@eaDir",   "#recycle",
                                        "$RECYCLE.BIN", "__MACOSX", "System Volume Information"};

    if (name[0] == '.')
        return true;
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool ends(const char *name, const char *const *endings, size_t n)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < n; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

/* The second list saves opening files of which there may be one for each picture; and a download
 * that was not finished begins as a picture does. */
enum vrt_odd_sort vrt_odd_sort(const char *name)
{
    static const char *const pictures[] = {"jpg", "jpeg", "jpe",  "jfif", "png",
                                           "gif", "bmp",  "webp", "tif",  "tiff"};
    static const char *const others[] = {
        "txt",        "csv",    "tsv",  "json",    "jsonl",    "xml",        "yaml",    "yml",
        "md",         "html",   "htm",  "pdf",     "log",      "db",         "ini",     "md5",
        "sha1",       "sha256", "npy",  "npz",     "mat",      "pkl",        "cls",     "xmp",
        "identifier", "tmp",    "part", "partial", "filepart", "crdownload", "download"};

    return ends(name, pictures, COUNT(pictures)) ? VRT_ODD_PICTURE
           : ends(name, others, COUNT(others))   ? VRT_ODD_NO_PICTURE
                                                 : VRT_ODD_LOOK;
}

bool vrt_odd_is_picture(int folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    enum vrt_odd_sort sort = vrt_odd_sort(slash != NULL ? slash + 1 : path);
    uint8_t head[VRT_IMAGE_HEAD];
    ssize_t n;
    int fd;

    if (sort != VRT_ODD_LOOK)
        return sort == VRT_ODD_PICTURE;
    fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return true;
    do
        n = read(fd, head, sizeof head);
    while (n < 0 && errno == EINTR);
    close(fd);
    return n < 0 || vrt_image_known(head, (size_t)n);
}

void vrt_odd_add(struct vrt_odd *o, const char *name)
{
    int at = 0, order = 1;

    o->count++;
    while (at < o->named && (order = strncmp(name, o->names[at], VRT_ODD_NAME - 1)) > 0)
        at++;
    if (at < o->named && order == 0)
        return;
    o->more = o->more || o->named == VRT_ODD_NAMES;
    if (at == VRT_ODD_NAMES)
        return;
    o->named += o->named < VRT_ODD_NAMES;
    memmove(o->names[at + 1], o->names[at], (size_t)(o->named - at - 1) * sizeof o->names[0]);
    snprintf(o->names[at], sizeof o->names[at], "%s", name);
}

void vrt_odd_text(const struct vrt_odd *o, char text[VRT_ODD_TEXT])
{
    int n =
        snprintf(text, VRT_ODD_TEXT, "%lld %s passed over: ", (long long)o->count,
                 o->count == 1 ? "file is no picture and was" : "files are no pictures and were");

    for (int i = 0; i < o->named; i++)
        n += snprintf(text + n, (size_t)(VRT_ODD_TEXT - n), "%s%s", i > 0 ? ", " : "", o->names[i]);
    if (o->more)
        snprintf(text + n, (size_t)(VRT_ODD_TEXT - n), ", ...");
}
