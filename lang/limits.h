/* What the language takes at most. Every pass keeps to these, so that any input ends quickly and in
 * bounded memory. */
#ifndef LANG_LIMITS_H
#define LANG_LIMITS_H

#define LIMIT_NESTING    100  /* brackets and bodies open at once */
#define LIMIT_EXPR_DEPTH 200  /* operators within operators */
#define LIMIT_MODULES    64   /* files */
#define LIMIT_CALLS      64   /* blocks within blocks */
#define LIMIT_LIST       1024 /* elements of a list */
#define LIMIT_STAGES     64
#define LIMIT_NAMED      512                 /* stages and rules that one model names */
#define LIMIT_BLOCKS     10000               /* of all stages */
#define LIMIT_LAYERS     100000              /* after expansion */
#define LIMIT_STEPS      4000000             /* expressions evaluated */
#define LIMIT_MEMORY     ((size_t)112 << 20) /* bytes of the arena when parsing and expanding */

#endif
