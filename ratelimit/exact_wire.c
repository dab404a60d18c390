/* The script that decides, and what goes to it and comes from it. */
#include "gateway/store/redis_reply.h"
#include "ratelimit/exact.h"
#include "ratelimit/lease.h"

/*
 * ARGV[g]: wanted, keys, tokens in advance; for each key step, tolerance, penalty, floor, how,
 * expiry. How: 0 asks, 1 only watches, 2 takes as far as it goes. With an expiry the key is a
 * counter: its clock stands still. Tokens in advance are at most a quarter (LEASE_PART) of what
 * is left by all keys. Answers, flat: for each group how many were granted, and for each of its
 * keys how many that key would have let pass and what is taken of it now.
 */
const char exact_script[] =
    "local t=redis.call('TIME')\n"
    "local now=(t[1]-1760000000)*8000000+t[2]*8\n"
    "local out,o,k={},0,0\n"
    "for a=1,#ARGV do\n"
    " local s=ARGV[a]\n"
    " local want,n,extra,at=struct.unpack('<ddd',s)\n"
    " local g,left,ks=want,want+4*extra,{}\n"
    " for i=1,n do\n"
    "  local step,dvt,pen,floor,how,ttl\n"
    "  step,dvt,pen,floor,how,ttl,at=struct.unpack('<dddddd',s,at)\n"
    "  local was=tonumber(redis.call('GET',KEYS[k+i]) or 0) or 0\n"
    "  local tat,base=was,ttl>0 and 0 or now\n"
    "  if tat>base+dvt then tat=base+dvt end\n"
    "  if tat<base+floor then tat=base+floor end\n"
    "  local m=step>0 and math.floor((base+dvt-tat)/step) or want\n"
    "  if how==0 and m<left then left=m end\n"
    "  if m<0 then m=0 elseif m>want then m=want end\n"
    "  if how==0 and m<g then g=m end\n"
    "  ks[i]={tat,step,dvt,pen,how,m,was,ttl,base}\n"
    " end\n"
    " if extra>0 and g==want then g=g+math.floor((left-g)/4) end\n"
    " o=o+1 out[o]=g\n"
    " for i=1,n do\n"
    "  local x=ks[i]\n"
    "  local base,nt=x[9],x[1]\n"
    "  if x[5]==2 then nt=math.min(base+x[3],nt+want*x[2])\n"
    "  else\n"
    "   nt=nt+(x[5]==0 and g or x[6])*x[2]\n"
    "   if x[6]<want and x[4]>0 then nt=math.min(base+x[3],nt+(want-x[6])*x[4]) end\n"
    "  end\n"
    "  if nt>base and nt~=x[7] then\n"
    "   local ttl=x[8]>0 and x[8]*1000 or math.ceil((nt-base)/8000)+1\n"
    "   redis.call('SET',KEYS[k+i],string.format('%.0f',nt),'PX',string.format('%.0f',ttl))\n"
    "  end\n"
    "  out[o+1]=x[6] out[o+2]=math.max(0,nt-base) o=o+2\n"
    " end\n"
    " k=k+n\n"
    "end\n"
    "return out\n";

static void put_double(char **at, uint64_t value)
{
    double number = (double)value;
    memcpy(*at, &number, sizeof(number));
    *at += sizeof(number);
}

char *exact_pack_head(char *at, uint64_t want, unsigned count, uint64_t extra)
{
    _Static_assert(LEASE_PART == 4, "as in the script");
    put_double(&at, want);
    put_double(&at, count);
    put_double(&at, extra);
    return at;
}

char *exact_pack_item(char *at, const struct exact_item *item)
{
    put_double(&at, item->step);
    put_double(&at, item->tolerance);
    put_double(&at, item->penalty);
    put_double(&at, item->floor);
    put_double(&at, item->charge ? 2 : item->shadow);
    put_double(&at, item->expires_s);
    return at;
}

bool exact_reply_valid(const struct redis_value *value, const struct exact_group *groups,
                       unsigned group_count)
{
    uint64_t number;
    unsigned at = 0;
    if (value->type != REDIS_ARRAY)
        return false;
    for (unsigned g = 0; g < group_count; g++) {
        if (!redis_uint(value, at++, groups[g].want + groups[g].extra, &number))
            return false;
        for (unsigned i = 0; i < groups[g].count; i++, at += 2)
            if (!redis_uint(value, at, groups[g].want, &number) ||
                !redis_uint(value, at + 1, UINT64_C(1) << 53, &number))
                return false;
    }
    return at == value->count;
}
