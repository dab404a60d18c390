/* The script that decides, and what goes to it and comes from it. */
#include "gateway/store/redis_reply.h"
#include "ratelimit/exact.h"
#include "ratelimit/holds.h"
#include "ratelimit/lease.h"
#include "ratelimit/limit.h"

/*
 * ARGV[g]: wanted, keys, tokens in advance; for each key step, tolerance, penalty, floor, how,
 * expiry, most. How: 0 asks, 1 only watches, 2 takes as far as it goes. With an expiry the key
 * is a counter: its clock stands still, and above TURN_BITS stands how often it was reset, so
 * that of two numbers the larger one is the later one. Tokens in advance are at most a quarter
 * (LEASE_PART) of what is left by all keys.
 *
 * 3 asks for slots, 4 watches them, 5 only tells: for these the seven are what was given back,
 * how many there are, who asks, how many it holds, how, whether that is the whole, and nothing.
 * Their key lists who holds how many until when.
 *
 * Answers, flat: for each group how many were granted, and for each of its keys how many that
 * key would have let pass and what is taken of it now.
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
    "  local step,dvt,pen,floor,how,ttl,most\n"
    "  step,dvt,pen,floor,how,ttl,most,at=struct.unpack('<ddddddd',s,at)\n"
    "  local was,m=redis.call('GET',KEYS[k+i])\n"
    "  if how<3 then\n"
    "   was=tonumber(was or 0) or 0\n"
    "   local tat,base=was,now\n"
    "   if ttl>0 then\n"
    "    if tat<floor then tat=floor end\n"
    "    base=tat-tat%1099511627776\n"
    "   elseif tat<base+floor then tat=base+floor end\n"
    "   if tat>base+most then tat=base+most end\n"
    "   m=step>0 and math.floor((base+dvt-tat)/step) or want\n"
    "   ks[i]={how,0,was,base,tat,step,most,pen,ttl,dvt}\n"
    "  else\n"
    "   was=was or ''\n"
    "   local mine,others,rest=0,0,''\n"
    "   for p=1,#was-23,24 do\n"
    "    local who,held,ends=struct.unpack('<ddd',was,p)\n"
    "    if ends>now then\n"
    "     if who==pen then mine=held\n"
    "     else others=others+held rest=rest..string.sub(was,p,p+23) end\n"
    "    end\n"
    "   end\n"
    "   if ttl>0 then mine=floor else mine=math.max(mine-step,floor) end\n"
    "   m=dvt-others-mine\n"
    "   ks[i]={how,0,was,others,mine,rest,pen}\n"
    "  end\n"
    "  if how%3==0 and m<left then left=m end\n"
    "  if m<0 then m=0 elseif m>want then m=want end\n"
    "  if how%3==0 and m<g then g=m end\n"
    "  ks[i][2]=m\n"
    " end\n"
    " if extra>0 and g==want then g=g+math.floor((left-g)/4) end\n"
    " o=o+1 out[o]=g\n"
    " for i=1,n do\n"
    "  local x=ks[i]\n"
    "  local how,m,was,base=x[1],x[2],x[3],x[4]\n"
    "  local nt\n"
    "  if how<3 then\n"
    "   nt=x[5]\n"
    "   if how==2 then nt=math.min(base+x[7],nt+want*x[6])\n"
    "   else\n"
    "    nt=nt+(how==0 and g or m)*x[6]\n"
    "    if m<want and x[8]>0 then\n"
    "     nt=math.max(nt,math.min(base+x[10],nt+(want-m)*x[8]))\n"
    "    end\n"
    "   end\n"
    "   local ttl=x[9]>0 and x[9]*1000 or math.ceil((nt-base)/8000)+1\n"
    "   if nt~=was and (nt>base or x[9]>0 and nt>0) then\n"
    "    redis.call('SET',KEYS[k+i],string.format('%.0f',nt),'PX',string.format('%.0f',ttl))\n"
    "   end\n"
    "   if x[9]==0 then nt=math.max(0,nt-base) end\n"
    "  else\n"
    "   nt=x[5]\n"
    "   if how<5 then nt=nt+(how==3 and g or m) end\n"
    "   local list=x[6]\n"
    "   if nt>0 then list=list..struct.pack('<ddd',x[7],nt,now+16000000) end\n"
    "   if list~='' or was~='' then\n"
    "    redis.call('SET',KEYS[k+i],list,'PX',list=='' and 1 or 2000)\n"
    "   end\n"
    "   nt=nt+base\n"
    "  end\n"
    "  out[o+1]=m out[o+2]=nt o=o+2\n"
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
    put_double(&at, item->most);
    return at;
}

char *exact_pack_slots(char *at, const struct exact_item *item, uint64_t holder,
                       const struct hold_word *word)
{
    _Static_assert(SLOT_LEASE_MS == 2000 && TURN_BITS == 40, "as in the script");
    put_double(&at, word->given_back);
    put_double(&at, item->tolerance);
    put_double(&at, holder);
    put_double(&at, word->held);
    put_double(&at, item->tell ? 5 : 3 + item->shadow);
    put_double(&at, word->whole);
    put_double(&at, 0);
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
