/* The script, and the names of things in the store. */
#include <sodium.h>

#include "auth/sessionshare.h"
#include "gateway/base/text.h"
#include "gateway/store/store.h"

/*
 * By its first argument:
 *
 *     put    KEYS session, all, user, others. ARGV value, px, until, name, must exist, now,
 *            beginning of sessions' keys, most of one user. 1, or 0: it had to exist.
 *     end    KEYS the set of those to end. ARGV beginning of sessions' keys. How many.
 *     count  KEYS a counter. ARGV how long it counts. How many there are, with this one.
 *     list   KEYS all. ARGV beginning of sessions' keys, first, last. Name, value,
 *            milliseconds left, of each.
 */
const char share_script[] =
    "local c=ARGV[1]\n"
    "if c=='put' then\n"
    " if ARGV[6]=='1' and redis.call('EXISTS',KEYS[1])==0 then return 0 end\n"
    " redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3])\n"
    " for i=2,#KEYS do\n"
    "  redis.call('ZREMRANGEBYSCORE',KEYS[i],'-inf',ARGV[7])\n"
    "  redis.call('ZADD',KEYS[i],ARGV[4],ARGV[5])\n"
    "  redis.call('EXPIREAT',KEYS[i],redis.call('ZRANGE',KEYS[i],-1,-1,'WITHSCORES')[2])\n"
    " end\n"
    " local over=redis.call('ZCARD',KEYS[3])-tonumber(ARGV[9])\n"
    " if over>0 then\n"
    "  for _,m in ipairs(redis.call('ZRANGE',KEYS[3],0,over-1)) do\n"
    "   redis.call('DEL',ARGV[8]..m)\n"
    "  end\n"
    "  redis.call('ZREMRANGEBYRANK',KEYS[3],0,over-1)\n"
    " end\n"
    " return 1\n"
    "end\n"
    "if c=='end' then\n"
    " local n=0\n"
    " for _,m in ipairs(redis.call('ZRANGE',KEYS[1],0,-1)) do\n"
    "  n=n+redis.call('DEL',ARGV[2]..m)\n"
    " end\n"
    " redis.call('DEL',KEYS[1])\n"
    " return n\n"
    "end\n"
    "if c=='count' then\n"
    " local n=redis.call('INCR',KEYS[1])\n"
    " if n==1 then redis.call('EXPIRE',KEYS[1],ARGV[2]) end\n"
    " return n\n"
    "end\n"
    "local out={}\n"
    "for _,m in ipairs(redis.call('ZRANGE',KEYS[1],ARGV[3],ARGV[4])) do\n"
    " out[#out+1]=m\n"
    " out[#out+1]=redis.call('GET',ARGV[2]..m) or ''\n"
    " out[#out+1]=redis.call('PTTL',ARGV[2]..m)\n"
    "end\n"
    "return out\n";

/* One tag: of a Cluster, one node has all of them, so that a script may go from one to another.
 */
void share_prefix(const struct store *store, struct text *out)
{
    text_add(out, store->prefix);
    text_lit(out, ":{s}:");
}

void share_key(const struct store *store, uint8_t key[32])
{
    static const char use[] = "sallyport shared sessions 1";
    (void)crypto_generichash(key, 32, (const uint8_t *)use, sizeof(use), store->key,
                             sizeof(store->key));
}
