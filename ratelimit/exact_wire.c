/* The script that decides, and what goes to it and comes from it. */
#include "gateway/store/redis_reply.h"
#include "ratelimit/exact.h"
#include "ratelimit/holds.h"
#include "ratelimit/lease.h"
#include "ratelimit/limit.h"

/*
 * ARGV[1]: of each group how many keys it has, how many are wanted, tokens in advance and
 * two times nothing; for each key step, tolerance, penalty, floor, how, expiry, most, turn.
 * How: 0 asks, 1 only watches, 2 takes as far as it goes. With an expiry the key is a counter:
 * its clock stands still, and above TURN_BITS stands how often it was reset, so that of two
 * numbers the larger one is the later one. Tokens in advance are at most a quarter (LEASE_PART)
 * of what is left by all keys.
 *
 * 3 asks for slots, 4 watches them, 5 only tells: for these the eight are what was given back,
 * how many there are, who asks, how many it holds, how, whether that is the whole, and twice
 * nothing. Their key lists who holds how many until when.
 *
 * Most groups are plain: one key that asks, and nothing else about it. They are 0, how many are
 * wanted, step, tolerance and turn.
 *
 * Answers, flat: for each group how many were granted, and for each of its keys how many that
 * key would have let pass and what is taken of it now; of a plain one granted and taken.
 *
 * To set a key with a time to live costs the server twice what it costs to add to one. So a
 * clock stays until the end of the EXACT_STAY_S in which it runs out: as long as that is the
 * same end, the difference is added, and the time to live is right as it is. Each key has a
 * turn of its own to end, made of its name, or all would be set again, and expire, at once.
 * What is no whole number cannot be added to; then it is set, as keys are that are new.
 */
const char exact_script[] =
    "local call,try,unpack,floor=redis.call,redis.pcall,struct.unpack,math.floor\n"
    "local t=call('TIME')\n"
    "local now=(t[1]-1760000000)*8000000+t[2]*8\n"
    "local K,s,out,x,o,k,at=KEYS,ARGV[1],{},{},0,0,1\n"
    "local len=#s\n"
    "local function whole(v) return string.format('%.0f',v) end\n"
    "local function add(key,raw,was,nt)\n"
    " return raw and type(try('INCRBY',key,nt-was))=='number'\n"
    "end\n"
    "local function put(key,turn,raw,was,nt)\n"
    " local ends=nt+(turn-nt)%32000000\n"
    " if was+(turn-was)%32000000~=ends or not add(key,raw,was,nt) then\n"
    "  local ms=ends-now\n"
    "  call('SET',key,whole(nt),'PX',whole((ms-ms%8000)/8000+2))\n"
    " end\n"
    "end\n"
    "while at<=len do\n"
    " local n,want,p,q,turn\n"
    " n,want,p,q,turn,at=unpack('<ddddd',s,at)\n"
    " if n==0 then\n"
    "  k=k+1\n"
    "  local key=K[k]\n"
    "  local raw=call('GET',key)\n"
    "  local was=raw and tonumber(raw) or 0\n"
    "  local tat=was\n"
    "  if not (tat>=now) then tat=now elseif tat>now+q then tat=now+q end\n"
    "  local g=floor((now+q-tat)/p)\n"
    "  if g>want then g=want end\n"
    "  local nt=tat+g*p\n"
    "  if nt~=was and nt>now then put(key,turn,raw,was,nt) end\n"
    "  out[o+1]=g out[o+2]=nt-now o=o+2\n"
    " else\n"
    "  local g,left=want,want+4*p\n"
    "  for i=1,n do\n"
    "   local step,dvt,pen,least,how,ttl,most,turn\n"
    "   step,dvt,pen,least,how,ttl,most,turn,at=unpack('<dddddddd',s,at)\n"
    "   local b,raw,m=i*12-11,call('GET',K[k+i])\n"
    "   x[b]=how x[b+2]=raw x[b+3]=pen\n"
    "   if how<3 then\n"
    "    local was=raw and tonumber(raw) or 0\n"
    "    if not (was<9007199254740992) then was=0 end\n"
    "    local tat,base=was,now\n"
    "    if ttl>0 then\n"
    "     if tat<least then tat=least end\n"
    "     base=tat-tat%1099511627776\n"
    "    elseif tat<base+least then tat=base+least end\n"
    "    if tat>base+most then tat=base+most end\n"
    "    m=step>0 and floor((base+dvt-tat)/step) or want\n"
    "    x[b+4]=was x[b+5]=base x[b+6]=tat x[b+7]=step x[b+8]=most x[b+9]=ttl x[b+10]=dvt\n"
    "    x[b+11]=turn\n"
    "   else\n"
    "    local was,mine,others,rest=raw or '',0,0,''\n"
    "    for at=1,#was-23,24 do\n"
    "     local who,held,ends=unpack('<ddd',was,at)\n"
    "     if ends>now then\n"
    "      if who==pen then mine=held\n"
    "      else others=others+held rest=rest..string.sub(was,at,at+23) end\n"
    "     end\n"
    "    end\n"
    "    if ttl>0 then mine=least else mine=math.max(mine-step,least) end\n"
    "    m=dvt-others-mine\n"
    "    x[b+4]=was x[b+5]=others x[b+6]=mine x[b+7]=rest\n"
    "   end\n"
    "   if how%3==0 and m<left then left=m end\n"
    "   if m<0 then m=0 elseif m>want then m=want end\n"
    "   if how%3==0 and m<g then g=m end\n"
    "   x[b+1]=m\n"
    "  end\n"
    "  if p>0 and g==want then g=g+floor((left-g)/4) end\n"
    "  o=o+1 out[o]=g\n"
    "  for i=1,n do\n"
    "   local b,key=i*12-11,K[k+i]\n"
    "   local how,m,raw,pen,was,base,nt=x[b],x[b+1],x[b+2],x[b+3],x[b+4],x[b+5],x[b+6]\n"
    "   if how<3 then\n"
    "    local ttl=x[b+9]\n"
    "    if how==2 then nt=math.min(base+x[b+8],nt+want*x[b+7])\n"
    "    else\n"
    "     nt=nt+(how==0 and g or m)*x[b+7]\n"
    "     if m<want and pen>0 then\n"
    "      nt=math.max(nt,math.min(base+x[b+10],nt+(want-m)*pen))\n"
    "     end\n"
    "    end\n"
    "    if ttl==0 then\n"
    "     if nt~=was and nt>base then put(key,x[b+11],raw,was,nt) end\n"
    "     nt=math.max(0,nt-base)\n"
    "    elseif nt~=was and nt>0 and not add(key,raw,was,nt) then\n"
    "     call('SET',key,whole(nt),'PX',whole(ttl*1000))\n"
    "    end\n"
    "   else\n"
    "    if how<5 then nt=nt+(how==3 and g or m) end\n"
    "    local list=x[b+7]\n"
    "    if nt>0 then list=list..struct.pack('<ddd',pen,nt,now+16000000) end\n"
    "    if list~='' or was~='' then\n"
    "     call('SET',key,list,'PX',list=='' and 1 or 2000)\n"
    "    end\n"
    "    nt=nt+base\n"
    "   end\n"
    "   out[o+1]=m out[o+2]=nt o=o+2\n"
    "  end\n"
    "  k=k+n\n"
    " end\n"
    "end\n"
    "return out\n";

static void put_double(char **at, uint64_t value)
{
    double number = (double)value;
    memcpy(*at, &number, sizeof(number));
    *at += sizeof(number);
}

static bool is_plain(const struct exact_group *group, const struct exact_item *item)
{
    return group->count == 1 && group->extra == 0 && !item->shadow && !item->charge &&
           !item->slots && item->step > 0 && item->penalty == 0 && item->floor == 0 &&
           item->expires_s == 0 && item->most == item->tolerance;
}

static uint64_t turn_of(const struct exact_item *item)
{
    uint64_t part; /* names are MACs */
    memcpy(&part, item->name + sizeof(item->name) - sizeof(part), sizeof(part));
    return part % ((uint64_t)EXACT_STAY_S * (1000000000 / UNIT_NS));
}

char *exact_pack_head(char *at, struct exact_group *group, const struct exact_item *items)
{
    _Static_assert(LEASE_PART == 4 && EXACT_STAY_S == 4, "as in the script");
    group->plain = is_plain(group, items);
    put_double(&at, group->plain ? 0 : group->count);
    put_double(&at, group->want);
    put_double(&at, group->plain ? items->step : group->extra);
    put_double(&at, group->plain ? items->tolerance : 0);
    put_double(&at, group->plain ? turn_of(items) : 0);
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
    put_double(&at, turn_of(item));
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
    put_double(&at, 0);
    return at;
}

/* What is taken may be of a larger limit than this; the sum of two is no double any more. */
#define AHEAD_MAX (UINT64_C(1) << 53)

/* Whether these are numbers, the first of each two at most so large. */
static bool pairs_valid(const struct redis_value *at, unsigned count, uint64_t most)
{
    for (const struct redis_value *end = at + (size_t)2 * count; at < end; at += 2)
        if (at[0].type != REDIS_INTEGER || (uint64_t)at[0].integer > most ||
            at[1].type != REDIS_INTEGER || (uint64_t)at[1].integer > AHEAD_MAX)
            return false;
    return true;
}

static bool group_valid(const struct redis_value *at, const struct exact_group *group)
{
    if (group->plain)
        return pairs_valid(at, 1, group->want);
    return at->type == REDIS_INTEGER && (uint64_t)at->integer <= group->want + group->extra &&
           pairs_valid(at + 1, group->count, group->want);
}

bool exact_reply_valid(const struct redis_value *value, const struct exact_group *groups,
                       unsigned group_count)
{
    unsigned at = 0;
    if (value->type != REDIS_ARRAY)
        return false;
    for (unsigned g = 0; g < group_count; g++) {
        const struct exact_group *group = &groups[g];
        unsigned width = exact_group_width(group);
        if (value->count - at < width || !group_valid(&value->items[at], group))
            return false;
        at += width;
    }
    return at == value->count;
}
