/* What the rooms of the experts share: route.c (noise, choice, capacity), balance.c (losses and the
 * router's gradient), places.c (where routed rows stand) and moves.c (rows in and out).
 * lang/README.md, "Experts", gives the meaning. */
#ifndef COMPILER_EMIT_ROUTING_H
#define COMPILER_EMIT_ROUTING_H

#include "compiler/emit/emit.h"
#include "compiler/graph/graph.h"

/* The routing of one layer, as a kernel sees it that runs for a group of pictures (or for all of
 * them). */
struct routing {
    const struct moe *m;
    struct decisions at;
    int64_t E, K, T;
    V decisions, ctx;
    V tokens, first_token; /* of this group or call */
    V stats;               /* of the group */
};

struct routing routing_of(struct emit *e, const struct kernel_args *k, V decisions);

/* Arrays of i32, read and written as i64. */
V int_at(struct emit *e, V p, V index);
V load_index(struct emit *e, V p, V index);
void store_index(struct emit *e, V v, V p, V index);

V routing_field(struct emit *e, const struct routing *r, int64_t offset); /* of the decisions */
V routing_held(struct emit *e, V ctx);                                    /* ctx.hold_routing */
void clear_counts(struct emit *e, V counts, int64_t n);                   /* of i32 */
void count_up(struct emit *e, V counts, V index, V by);                   /* one i32 */
void add_to(struct emit *e, V p, V v);                                    /* one float */

/* Statistics of a group: cleared, then added to token by token. */
void balance_clear(struct emit *e, const struct routing *r);
void entropy_add(struct emit *e, const struct routing *r, V clean); /* in training and evaluation */
V entropy_total(struct emit *e, const struct routing *r,
                V pictures); /* of all groups; r->stats: of the first */
void balance_add(struct emit *e, const struct routing *r, V clean, V z, V choice);

#endif
