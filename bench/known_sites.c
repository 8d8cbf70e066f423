/* Ten sites of known bytes, alive at the end: objects of one size each, by which bench/known_sites.py knows them. */
#include <stdlib.h>
#include <string.h>

static const struct {
    size_t object, total;
} sites[] = {
    {16, 2 << 20},   {64, 8 << 20},   {72, 24 << 20},    {200, 24 << 20},    {1000, 24 << 20},
    {1008, 4 << 20}, {8192, 8 << 20}, {65536, 16 << 20}, {524288, 16 << 20}, {4194304, 16 << 20},
};

int main(void)
{
    for (size_t site = 0; site < sizeof sites / sizeof *sites; site++)
        for (size_t made = 0; made < sites[site].total / sites[site].object; made++) {
            char *volatile kept = malloc(sites[site].object);
            if (kept == NULL)
                return 1;
        }
    return 0;
}
