/* A folder for a group of tests. */
#include "tests/unit/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char folder[] = "/tmp/vmoe-test-XXXXXX";

int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

int remove_folder(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}
