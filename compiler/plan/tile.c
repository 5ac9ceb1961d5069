/* Blocking: every choice of a size that only speed depends on, with its reason. All follow from
 * shapes, none from threads. Figures: a core has 32-48 KiB of L1, 512 KiB to 2 MiB of L2;
 * multiply-adds outrun memory by about 8 flop a byte. */
#include "config.h"

#include "compiler/plan/lower.h"

static int64_t round_up(int64_t v, int64_t to)
{
    return (v + to - 1) / to * to;
}

int64_t plan_panel(int vector, int64_t n)
{
    /* Two vectors wide for the widest register block; one where a second would hold padding
     * only. */
    return n <= vector ? vector : 2 * vector;
}

int64_t plan_packed_bytes(int vector, int64_t n, int64_t k)
{
    return round_up(n, plan_panel(vector, n)) * k * 4;
}

/* A tile's scratch should stay in L2 beside a panel of weights, but weights stream through L2 once
 * a tile, so few rows are dear where the widths are large: 384 KiB of scratch, at least 132 rows
 * (eleven register blocks), at most 192. */
int64_t tile_rows(int64_t bytes_per_row)
{
    int64_t rows = bytes_per_row ? 384 * 1024 / bytes_per_row : 192;
    return rows < 132 ? 132 : rows > 192 ? 192 : rows;
}

/* Equal tiles, none above `tile` rows, and a number of them that two or four threads share evenly:
 * of 17 tiles on two threads the last one costs as much as eight more on both. Two tiles at least,
 * unless they would have less than TILE_LEAST rows. */
int64_t tile_count(int64_t rows, int64_t tile)
{
    int64_t n = (rows + tile - 1) / tile;
    if (n < 3)
        return rows < 2 * TILE_LEAST ? n : 2;
    return (n + TILE_SHARES - 1) / TILE_SHARES * TILE_SHARES;
}

/* Experts get few rows each: a tile of eight register blocks. */
int64_t tile_expert_rows(void)
{
    return 96;
}

/* The part of a weight gradient (n, k) that one task computes: as square as can be, for each factor
 * is packed once for every part along the other; at most 384 each way, so that it rests in L2
 * beside the packed factors; a number of parts that two or four threads share evenly, unless they
 * would be smaller than 64. */
struct dw_tile tile_dw(int vector, int64_t n, int64_t k)
{
    int64_t down = (n + 383) / 384, across = (k + 383) / 384;
    while (down * across % TILE_SHARES != 0 && (n / down >= 128 || k / across >= 128))
        if (n / down >= k / across)
            down++;
        else
            across++;
    return (struct dw_tile){round_up((n + down - 1) / down, 12),
                            round_up((k + across - 1) / across, plan_panel(vector, k))};
}

/* A chunk of TILE_DW_CHUNK rows: a panel of x (24 KiB) rests in L1, both packed factors (300 KiB
 * each) in L2, a line behind each panel and each block (of 6 or 12 columns of dy: gemm_tn.c).
 * Patches are summed aside. */
int64_t dw_scratch(int vector, struct dw_tile t, int64_t k, bool patches)
{
    int64_t panels = t.wide / plan_panel(vector, k), blocks = t.block / 6;
    return (TILE_DW_CHUNK * (t.wide + t.block) + 16 * (panels + blocks) +
            (patches ? t.block * t.wide : 0)) *
           4;
}

/* Queries (backward, keys) that one pass of attention takes: about 48, in equal shares, so that
 * scores stay in L1 and L2. */
int64_t tile_attention(int64_t tokens)
{
    int64_t passes = (tokens + 47) / 48;
    return (tokens + passes - 1) / passes;
}

static int64_t packed(int vector, int64_t n, int64_t k)
{
    return round_up(plan_packed_bytes(vector, n, k), 64);
}

int64_t attention_scratch(int vector, int64_t tokens, int64_t head, bool backward)
{
    int64_t share = tile_attention(tokens),
            scores = round_up(share * round_up(tokens, vector) * 4, 64);
    int64_t factors = packed(vector, tokens, head) + packed(vector, head, tokens);
    if (!backward)
        return factors + round_up(share * 4, 64) + scores;
    return 2 * factors + packed(vector, head, share) + 2 * scores + 2 * round_up(tokens * 4, 64);
}

/* Vectors of channels that a task of about `work` operations takes, `each` of them a vector: at
 * least 128 channels, since vectors side by side make long reads, and as equal as can be. */
static int64_t group_of(int vector, int64_t vectors, int64_t work, int64_t each)
{
    int64_t group = work / each + 1, least = 128 / vector;
    int64_t groups = group < least ? (vectors + least - 1) / least : (vectors + group - 1) / group;
    return (vectors + groups - 1) / groups;
}

/* A task of a depthwise convolution should last several microseconds, some 1e6 operations, for a
 * task costs a third of one. Large maps go in bands of at most 8 lines, so that the lines a band
 * shares rest in L1. */
struct dwconv_tile tile_dwconv(int vector, int64_t channels, int64_t out_h, int64_t out_w,
                               int64_t taps)
{
    int64_t bands = out_h > 16 ? (out_h + 7) / 8 : 1, vectors = (channels + vector - 1) / vector;
    struct dwconv_tile t = {.band = (out_h + bands - 1) / bands};
    int64_t each = t.band * out_w * taps * 2 * vector;
    t.group = group_of(vector, vectors, 1000000, each);
    t.parts = (vectors + t.group - 1) / t.group * ((out_h + t.band - 1) / t.band);
    t.images = 1000000 / (each * t.group * t.parts);
    t.images = t.images < 1 ? 1 : t.images;
    return t;
}

/* Its weight gradient: enough positions a slice that storing its sums costs little, but pictures
 * that rest in L2, since every pass reads them again; some 8e6 operations a task. */
struct dwconv_tile tile_dwconv_dw(int vector, int64_t channels, int64_t positions, int64_t taps)
{
    int64_t vectors = (channels + vector - 1) / vector, images = 8 * taps / positions + 1;
    int64_t group = group_of(vector, vectors, 8000000, images * positions * taps * 2 * vector);
    return (struct dwconv_tile){
        .images = images, .parts = (vectors + group - 1) / group, .group = group};
}

/* A copy of both maps of one vector of channels, if they fit L1 beside the sums; else 0: none is
 * made. */
int64_t dwconv_dw_scratch(int vector, int64_t positions)
{
    int64_t bytes = positions * vector * 4;
    return bytes <= 32 * 1024 ? bytes : 0;
}
