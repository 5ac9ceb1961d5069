/* Where routed rows stand: kept choices are numbered expert by expert, and in each by token; each
 * expert's rows are cut into tiles. What the runtime is told of the choices is counted on the
 * way. */
#include "config.h"

#include "compiler/emit/routing.h"

/* Where the decision about choice `i` of all items was left. */
static V flag_index(struct emit *e, const struct routing *r, V i)
{
    if (r->m->span == 1)
        return i;
    V item = idiv(e, i, ki(e, r->K));
    return iadd(e, imulk(e, item, r->m->span * r->K), irem(e, i, ki(e, r->K)));
}

static void count_choice(struct emit *e, const struct routing *r, V balance, V expert,
                         bool training)
{
    count_up(e, balance, expert, ki(e, 1));
    if (training)
        count_up(e, balance, iaddk(e, expert, 2 * r->E + 1), ki(e, 1));
}

static void clear_choices(struct emit *e, const struct routing *r, V choices, V pictures)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), pictures, 1, 0, NULL);
    clear_floats(e, at(e, choices, imulk(e, l.i, e->plan->choices)), ki(e, r->E));
    loop_end(e, &l, NULL);
}

/* The kept choice i counts for its picture. Slots mix tokens: nobody chose them. */
static void count_for_picture(struct emit *e, const struct routing *r, V choices, V i, V expert)
{
    if (r->m->choice != CHOICE_SOFT)
        add_to(e,
               at(e, at(e, choices, imulk(e, idiv(e, i, ki(e, r->T * r->K)), e->plan->choices)),
                  expert),
               kf(e, 1));
}

/* counts[e]: rows of the kept choices of each expert. The program's counters gather the choices
 * that were made, and the dropped ones; what experts do not take was not chosen. In evaluation,
 * choices (pictures, E) gets the kept ones of each picture. */
static void count_choices(struct emit *e, const struct routing *r, V choice, V slots, V counts,
                          V balance, V choices, V n, bool training)
{
    struct loop l;
    struct branch br;
    bool offered = r->m->choice != CHOICE_EXPERT;
    clear_counts(e, counts, r->E);
    loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
    V expert = load_index(e, choice, l.i);
    if (offered)
        count_choice(e, r, balance, expert, training);
    if_begin(e, &br, ilt(e, load_index(e, slots, flag_index(e, r, l.i)), ki(e, 0)));
    if (offered)
        count_up(e, balance, iaddk(e, expert, r->E), ki(e, 1));
    if_else(e, &br);
    if (!offered)
        count_choice(e, r, balance, expert, training);
    if (!training)
        count_for_picture(e, r, choices, l.i, expert);
    V p = int_at(e, counts, expert);
    store(e, iaddk(e, load(e, e->i32, p), r->m->span), p);
    if_end(e, &br);
    loop_end(e, &l, NULL);
    count_up(e, balance, ki(e, 2 * r->E), r->tokens);
}

/* first[], and counts[] turned into the next free row of each expert. */
static void first_rows(struct emit *e, const struct routing *r, V counts, V first)
{
    struct loop l;
    V sum = ki(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 1, &sum);
    V next = iadd(e, l.carry[0], load_index(e, counts, l.i));
    store_index(e, l.carry[0], first, l.i);
    store_index(e, l.carry[0], counts, l.i);
    loop_end(e, &l, &next);
    store_index(e, l.carry[0], first, ki(e, r->E));
}

/* The rows of a choice: numbers from the expert's counter where it was kept, else -1. The flag is
 * in the first of these places. */
static void place_rows(struct emit *e, const struct routing *r, V choice, V slots, V counts, V pair,
                       V n)
{
    struct loop l, s;
    loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
    V flag = flag_index(e, r, l.i), kept = ilt(e, ki(e, -1), load_index(e, slots, flag));
    V counter = int_at(e, counts, load_index(e, choice, l.i)),
      row = LLVMBuildSExt(e->b, load(e, e->i32, counter), e->i64, "");
    loop_begin(e, &s, ki(e, 0), ki(e, r->m->span), 1, 0, NULL);
    V place = iadd(e, flag, imulk(e, s.i, r->K)), mine = iadd(e, row, s.i);
    struct branch br;
    store_index(e, choose(e, kept, mine, ki(e, -1)), slots, place);
    if_begin(e, &br, kept);
    store_index(e, place, pair, mine);
    if_end(e, &br);
    loop_end(e, &s, NULL);
    store_index(e, choose(e, kept, iaddk(e, row, r->m->span), row), counter, ki(e, 0));
    loop_end(e, &l, NULL);
}

static void cut_tiles(struct emit *e, const struct routing *r, V first, V tile, V tile_first)
{
    struct loop x, t;
    V count = ki(e, 0);
    loop_begin(e, &x, ki(e, 0), ki(e, r->E), 1, 1, &count);
    V from = load_index(e, first, x.i), to = load_index(e, first, iaddk(e, x.i, 1));
    store_index(e, x.carry[0], tile_first, x.i);
    loop_begin(e, &t, from, to, r->at.rows_per_tile, 1, x.carry);
    V entry = int_at(e, tile, imulk(e, t.carry[0], 4)),
      rows = imin(e, ki(e, r->at.rows_per_tile), isub(e, to, t.i));
    store_index(e, x.i, entry, ki(e, 0));
    store_index(e, t.i, entry, ki(e, 1));
    store_index(e, rows, entry, ki(e, 2));
    store_index(e, ki(e, 0), entry, ki(e, 3));
    V next = iaddk(e, t.carry[0], 1);
    loop_end(e, &t, &next);
    loop_end(e, &x, t.carry);
    store_index(e, x.carry[0], tile_first, ki(e, r->E));
}

void emit_route_sort(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p.route_sort.decisions);
    struct branch br;
    V counts = slot(e, e->i32, r.E), n = imulk(e, r.tokens, r.K);
    V choice = routing_field(e, &r, r.at.choice), slots = routing_field(e, &r, r.at.slot),
      first = routing_field(e, &r, r.at.first);
    bool training = k->call->size.route_sort.training;
    if_begin(e, &br, LLVMBuildNot(e->b, routing_held(e, r.ctx), ""));
    if (!training)
        clear_choices(e, &r, k->p.route_sort.choices, k->m);
    count_choices(e, &r, choice, slots, counts, k->p.route_sort.balance, k->p.route_sort.choices, n,
                  training);
    if (r.m->choice == CHOICE_TOKEN)
        add_to(e, atk(e, k->p.route_sort.balance, 3 * r.E + 1), entropy_total(e, &r, k->m));
    first_rows(e, &r, counts, first);
    place_rows(e, &r, choice, slots, counts, routing_field(e, &r, r.at.pair), n);
    cut_tiles(e, &r, first, routing_field(e, &r, r.at.tile), routing_field(e, &r, r.at.tile_first));
    if_end(e, &br);
}

/* Item i of a picture with M of them goes to expert i / (M / E). */
void emit_slots(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p.slots.decisions);
    V choice = routing_field(e, &r, r.at.choice), slots = routing_field(e, &r, r.at.slot);
    struct loop l;
    struct branch br;
    if_begin(e, &br, LLVMBuildNot(e->b, routing_held(e, r.ctx), ""));
    loop_begin(e, &l, ki(e, 0), r.tokens, 1, 0, NULL);
    store_index(e, idiv(e, irem(e, l.i, ki(e, r.T)), ki(e, r.T / r.E)), choice, l.i);
    store_index(e, ki(e, 0), slots, l.i);
    loop_end(e, &l, NULL);
    if_end(e, &br);
}
