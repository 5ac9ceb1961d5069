/* A gradient that is wrong must fail the gradient check: the stub's program, whose gradients are
 * right, with one tensor's gradient changed behind its back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/program/command.h"
#include "runtime/program/options.h"
#include "runtime/vrt.h"

static struct {
    int64_t param; /* whose gradient is changed */
    float factor, add;
} wrong;

static void train_wrongly(struct vrt_ctx *c)
{
    const struct vrt_param *p = &vrt_program_table.params[wrong.param];
    vrt_program_table.train(c);
    float *gradient = (float *)(void *)((char *)c->region[VRT_GRADS] + p->offset);
    for (int64_t i = 0; i < p->count; i++)
        gradient[i] = gradient[i] * wrong.factor + wrong.add;
}

/* The command's exit status; what it prints goes to a file, whose text comes back. */
static int check(void (*train)(struct vrt_ctx *), char *text, size_t size)
{
    static const struct vrt_command command = {"gradcheck", "", NULL, VRT_GRADCHECK,
                                               vrt_command_gradcheck};
    char *argv[] = {(char[]){"stub"}, (char[]){"gradcheck"}, (char[]){"--threads=1"}, NULL};
    struct vrt_program program = vrt_program_table;
    struct vrt_options options;
    struct vrt_error e = {.text = ""};
    program.train = train;
    assert_true(vrt_options_parse(&options, &program, &command, 3, argv, &e));
    FILE *out = tmpfile();
    int kept = dup(STDOUT_FILENO);
    assert_non_null(out);
    fflush(stdout);
    dup2(fileno(out), STDOUT_FILENO);
    int status = vrt_command_gradcheck(&options, &e);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    rewind(out);
    text[fread(text, 1, size - 1, out)] = '\0';
    fclose(out);
    vrt_options_free(&options);
    return status;
}

static void test_right(void **state)
{
    char text[4096];
    (void)state;
    assert_int_equal(check(vrt_program_table.train, text, sizeof text), VRT_OK);
    assert_non_null(strstr(text, ", 0 tensors that fail"));
    assert_null(strstr(text, "FAIL"));
}

/* Each tensor in turn: 2 % too large, half, of the wrong sign, missing, off by a constant, and no
 * number. */
static void test_wrong(void **state)
{
    static const struct {
        float factor, add;
    } faults[] = {{1.02f, 0}, {0.5f, 0}, {-1, 0}, {0, 0}, {1, 0.05f}, {NAN, 0}};
    char text[4096], row[200];
    (void)state;
    for (wrong.param = 0; wrong.param < vrt_program_table.nparams; wrong.param++)
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
            wrong.factor = faults[i].factor;
            wrong.add = faults[i].add;
            assert_int_equal(check(train_wrongly, text, sizeof text), VRT_BAD_INPUT);
            assert_non_null(strstr(text, ", 1 tensors that fail"));
            snprintf(row, sizeof row, "FAIL %s ", vrt_program_table.params[wrong.param].name);
            assert_non_null(strstr(text, row));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_right), cmocka_unit_test(test_wrong)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("gradcheck", tests, NULL, NULL);
    return 0;
}
