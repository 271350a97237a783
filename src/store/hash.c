/* hash.c - see hash.h. */
#include "store/hash.h"
#include "base/clock.h"
#include <pthread.h>

uint64_t hash_seed;

static void seed_make(void)
{
    hash_seed = rand_u64();
}

void hash_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, seed_make);
}
