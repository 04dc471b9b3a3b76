#!/usr/bin/env python3
"""Lua scripts to a real redis-server and to the machine's runner; every reply must be the same to
the byte. script_differential.py RUNNER [--seeds N] [--first SEED]
The first part is a list of scripts, one for each function, rule and error; the second puts seeded
random values through cmsgpack, struct, cjson and the string patterns. Needs redis-server (exit code
77 without it), listens on no port, leaves nothing behind."""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import sys
import tempfile

import differential

# (script, keys, arguments)
CASES = [
    # What comes back.
    "return 1", "return 'a'", "return {1,2,3}", "return {1,nil,3}", "return {}", "return nil",
    "return true", "return false", "return 3.99", "return -3.99", "return 1e300", "return -1e300",
    "return 0/0", "return 1/0", "return {'a',{'b',{1,{2}}}}", "return {ok='fine'}",
    "return {err='My Error'}", "return {err='ERR x'}", "return {err='with\\r\\nlines'}",
    "return {ok='with\\r\\nlines'}", "return {err=1}", "return {ok=2}", "return {a=1}",
    "return {1,2,{err='inner'},{ok='in'}}", "return function() end", "return redis", "return _G",
    "return string.rep('x', 100000)", "return {string.rep('y', 3), 'z'}",
    "return {double=3.0}", "return {map={a=1}}", "return {set={a=true}}",
    "return {big_number='12345678901234567890'}",
    "return {verbatim_string={format='txt',string='abc'}}", "return {verbatim_string={format='txt'}}",
    "return {verbatim_string={string='x'}}", "return {verbatim_string=1}",
    "redis.setresp(3) return true", "redis.setresp(3) return false", "redis.setresp(3) return nil",
    "redis.setresp(3) return {double=1.5}", "redis.setresp(3) return redis.call('get','nothing')",
    "redis.setresp(3) return type(redis.call('get','nothing'))",
    "return type(redis.call('get','nothing'))", "redis.setresp(1)", "redis.setresp()",
    "redis.setresp('x')",
    "local t={} t[1]=t return 1",
    # Arguments.
    ("return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}", ["k1", "k2"], ["a1", "a2"]),
    ("return {#KEYS,#ARGV}", ["k1"], ["a", "b", "c"]), ("return KEYS[3]", ["k1"], []),
    ("ARGV[1]='changed' return ARGV[1]", [], ["x"]), ("table.remove(ARGV,1) return ARGV", [], ["x", "y"]),
    ("KEYS=1", [], []), ("return #ARGV[1]", [], ["\0\r\n\xff"]),
    # Commands.
    ("redis.call('set',KEYS[1],ARGV[1]) return redis.call('get',KEYS[1])", ["k"], ["v"]),
    ("return redis.call('SET',KEYS[1],'v')", ["k"], []), ("return redis.pcall('get',KEYS[1])", ["k"], []),
    ("return redis.call('incr',KEYS[1])", ["n"], []), ("return redis.call('incrby',KEYS[1],5)", ["n"], []),
    ("return redis.call('incrby',KEYS[1],3.0)", ["n"], []), ("return redis.call('incrby',KEYS[1],3.5)", ["n"], []),
    ("return redis.call('incrbyfloat',KEYS[1],3.5)", ["f"], []), ("return redis.call('incrbyfloat',KEYS[1],0.1)", ["f"], []),
    ("return redis.call('mget',KEYS[1],KEYS[2],'nothing')", ["k", "n"], []),
    ("return redis.call('set','num',1e15)",), ("return redis.call('get','num')",),
    ("return redis.call('set','num',2^53)",), ("return redis.call('get','num')",),
    ("return redis.call('set','num',0.1)",), ("return redis.call('get','num')",),
    ("return redis.call('set','num',-1/0)",), ("return redis.call('get','num')",),
    ("return redis.call('set','num',1e100)",), ("return redis.call('get','num')",),
    ("return {redis.call('exists','k'), redis.call('del','k'), redis.call('exists','k')}",),
    # Replies that are maps or pairs in one protocol and flat in the other.
    "return redis.call('zadd','z',1,'a',2.5,'b','inf','c')",
    "return redis.call('zrange','z',0,-1,'WITHSCORES')", "return redis.call('zrange','none',0,-1,'WITHSCORES')",
    "return redis.call('zrevrangebyscore','z','+inf','-inf','WITHSCORES','LIMIT',0,1)[2]",
    "redis.setresp(3) return redis.call('zrange','z',0,-1,'WITHSCORES')[2][2]",
    "redis.setresp(3) return redis.call('zrange','z',0,-1,'WITHSCORES')",
    "return redis.call('zscore','z','b')", "redis.setresp(3) return redis.call('zscore','z','b')",
    "return redis.call('zpopmin','z')", "redis.setresp(3) return redis.call('zpopmin','z')",
    "redis.setresp(3) return redis.call('zpopmin','z',1)", "return redis.call('zscore','z','a')",
    "return redis.call('hset','h','f','1')", "return redis.call('hgetall','h')",
    "redis.setresp(3) return redis.call('hgetall','h')", "redis.setresp(3) return redis.call('hgetall','h').map.f",
    "return redis.call('hrandfield','h',2,'WITHVALUES')", "redis.setresp(3) return redis.call('hrandfield','h',2,'WITHVALUES')",
    "return redis.call('sadd','s1','m')", "return redis.call('smembers','s1')",
    "redis.setresp(3) return redis.call('smembers','s1')", "redis.setresp(3) return redis.call('smembers','s1').set.m",
    "return redis.call('xadd','x','1-1','f','v')", "return redis.call('xread','STREAMS','x','none','0','0')",
    "redis.setresp(3) return redis.call('xread','STREAMS','x','none','0','0')",
    "return redis.call('xinfo','STREAM','x')[2]", "redis.setresp(3) return redis.call('xinfo','STREAM','x').map.length",
    "return redis.call('type','n')", "return redis.call('type','n').ok", "return redis.call('type','n')['ok']",
    "return redis.call('ping')", "return redis.call('ping','x')", "return redis.call('echo','x')",
    "return redis.call('ttl','n')", "return redis.call('setex','s',100,'x')", "return redis.call('ttl','s')",
    "return redis.call('expire','s','x')", "return #redis.call('time')", "return redis.call('dbsize') >= 0",
    "return redis.call('select',1)", "redis.call('select',1) return redis.call('get','n')",
    "return redis.call('select',99)", "return redis.call('select','x')", "return redis.call('select',-1)",
    "redis.call('select',2) redis.call('set','other','x') redis.call('select',0) return redis.call('exists','other')",
    "redis.call('select',2) return redis.call('del','other')",
    "redis.call('zadd','z',1,'a',2.5,'b',1/0,'c') return redis.call('zrange','z',0,-1,'withscores')",
    "redis.setresp(3) local r = redis.call('zrange','z',0,-1,'withscores') return {#r, #r[1], r[1][1], r[1][2].double}",
    "return redis.call('zscore','z','b')", "redis.setresp(3) return redis.call('zscore','z','b')", "redis.setresp(3) return redis.call('zscore','z','x')",
    "redis.call('hset','h','f','v') return redis.call('hgetall','h')", "redis.setresp(3) return redis.call('hgetall','h').map.f",
    "redis.call('sadd','set','m') return redis.call('smembers','set')", "redis.setresp(3) return redis.call('smembers','set')", "redis.setresp(3) return redis.call('sismember','set','m')",
    "redis.call('rpush','l','a','b') return {redis.call('lpop','l','5'), redis.call('lpop','l','5'), redis.call('lpop','l')}",
    "redis.setresp(3) return {tostring(redis.call('lpop','l','5')), tostring(redis.call('lpop','l'))}", "return redis.call('hgetall','nothing')",
    "redis.call('xadd','x','1-1','f','v') return redis.call('xrange','x','-','+')", "redis.call('xadd','x','2-1','f','v') return redis.call('xread','streams','x','0')",
    "redis.setresp(3) return redis.call('xread','streams','x','0').map.x[1]", "return redis.call('blpop','l',0)", "return redis.call('zpopmin','z')",
    "redis.setresp(3) return redis.call('zpopmin','z')[2]", "return redis.call('subscribe','x')", "return redis.call('multi')", "return redis.call('watch','x')", "return redis.call('publish','ch','m')",
    "return redis.call('lpush','h','x')", "return redis.pcall('lpush','h','x')", "return redis.call('sort','set','alpha')", "return redis.call('hmget','h','f','g')", "return redis.call('object','encoding','h')",
    # Errors of commands.
    "return redis.call()", "return redis.pcall()", "return redis.call({})", "return redis.call('get',{})",
    "return redis.call(nil)", "return redis.call('get',nil)", "return redis.call('get',true)",
    "return redis.pcall('get',true)", "return redis.call('nosuch')", "return redis.pcall('nosuch')",
    "return redis.pcall('nosuch')['err']", "return redis.call('get')", "return redis.pcall('get')",
    "return redis.call('get','a','b')", "return redis.call('eval','return 1',0)",
    "return redis.call('hello')", "return redis.call('config','get','x')", "return redis.call('script','load','x')",
    "return redis.call('auth','x')", "return redis.call('client','id')",
    "redis.call('set','str','abc') return redis.call('incr','str')",
    "return redis.pcall('incr','str')", "return redis.pcall('incr','str').err",
    "local ok,e=pcall(redis.call,'incr','str') return {tostring(ok),e}",
    "local ok,e=pcall(redis.call,'nosuch') return {tostring(ok),type(e),e}",
    "local ok,e=pcall(function() error('x') end) return {tostring(ok),e}",
    "local ok,e=pcall(function() error({err='y'}) end) return {tostring(ok),type(e),e}",
    "local ok,e=pcall(function() error({1}) end) return {tostring(ok),type(e)}",
    "local r=redis.pcall('set','k') return r", "redis.call('incr','str') return 1",
    "return redis.call('set','k','v','bad')", "return redis.call('setex','k',-1,'v')",
    "return redis.call('setex','k','x','v')", "return {redis.pcall('incr','str'),1}",
    "redis.call('set','kept','1') redis.call('nosuch')", "return redis.call('get','kept')",
    "redis.call('set','kept','2') error('late')", "return redis.call('get','kept')",
    # Errors of scripts.
    "return x", "return _G.x", "x=1", "x=nil", "_G.x=1", "_G['y']=2", "local function f() return zz end return f()",
    "error('boom')", "error('boom',0)", "error('boom',2)", "error({err='ERR table'})", "error({err='noCode'})",
    "error()", "error(nil)", "error(12)", "error(true)", "error(redis.error_reply('X y'))",
    "return redis.error_reply('ERR custom')", "return redis.error_reply('custom')",
    "return redis.error_reply('-custom')", "return redis.error_reply('-CUSTOM text')", "return redis.error_reply('')",
    "return redis.error_reply()", "return redis.error_reply(1)", "return redis.error_reply({})",
    "return redis.error_reply('a','b')", "return redis.status_reply('fine')", "return redis.status_reply()",
    "return redis.status_reply(1)", "local a = nil; return a.b", "return 1 + {}", "return 'a' + 1", "return #5",
    "return nil .. 'x'", "local t = {} t[nil]=1", "return ('x')()", "local a = 'x' return a.b.c",
    "return {}..'x'", "return {} < {}", "return 1 < 'x'", "for i='x',2 do end",
    "return", "return return", "x = = 1", "if", "return 'a", "local function", "-- nothing", "", " ", "}", "\\",
    "return 1 return 2", "goto x", "break", "return ...", "return select('#',...)", "\n\n\nreturn x",
    "\n\nlocal t = nil\nreturn t.x", "return 1;", "return '\\0'", "return '\\065'", "return [[a\nb]]",
    "assert(false)", "assert(false,'msg')", "assert(nil,{})", "return assert(1)", "local ok=pcall(assert) return tostring(ok)",
    "return tostring(pcall(error))", "return {pcall(error)}", "return xpcall(function() return 5 end, function() end)",
    "return {xpcall(function() error('x') end, function(e) return 'H:'..e end)}",
    "return {xpcall(function() x() end, function(e) return e end)}",
    "local function f() return f() + 1 end return f()", "local function f() return pcall(f) end f() return 'ok'",
    "string.rep('x', 1e9, 'y') return 1" if False else "return 1",
    # The sandbox.
    "return tostring(os)", "return os.time()", "return io", "return require", "return dofile", "return loadfile",
    "return print", "return debug", "return package", "return module", "return type(newproxy) == nil" if False else "return 1",
    "redis.x=1", "redis.call=nil", "string.x=1", "table.insert=nil", "cjson.x=1", "math.pi=3", "bit.x=1",
    "cmsgpack.x=1", "struct.x=1", "coroutine.x=1", "rawset(redis,'x',1)", "rawset(_G,'x',1)", "setmetatable(_G,{})",
    "setmetatable(redis,{})", "return type(_G)", "return _G==getfenv(0)", "return type(getfenv(1))",
    "return rawget(_G,'nothere')", "return type(rawget(_G,'redis'))", "return type(getmetatable(''))",
    "getmetatable('').__index = nil", "getmetatable('').x = 1", "return tostring(getmetatable(redis))",
    "return type(loadstring)", "return loadstring('return 1+1')()", "return {loadstring('x x')}",
    "return load(function() return nil end)", "local n=0 return load(function() n=n+1 if n==1 then return 'return 7' end end)()",
    "return loadstring('return zz')()", "return _VERSION", "return type(collectgarbage('count'))", "return collectgarbage()",
    "collectgarbage('nonsense')", "return type(gcinfo())", "setfenv(1,{}) return 1",
    "local f = loadstring('y = 5 return y') setfenv(f,{}) return f()",
    "return unpack({1,2,3})", "return {unpack({1,2,3},2)}", "return {unpack({},1,3)}", "return #{unpack({1,2})}",
    "return unpack({},1,1e8)", "return select(2,'a','b','c')", "return {select(-1,'a','b')}", "return select(0)",
    "return tostring(tonumber('0x10'))", "return tostring(tonumber('z',36))", "return tostring(tonumber('abc'))",
    "return tostring(1e15)", "return tostring(0.1)", "return tostring(1e100)", "return tostring(-0)", "return 2^53 .. ''",
    "return type(next)", "return {next({10})}", "return rawequal('a','a')", "local t={} for k,v in pairs({a=1}) do t[1]=k end return t",
    "local n=0 for k in pairs(redis) do n=n+1 end return n > 10", "local n=0 for k,v in pairs(math) do n=n+1 end return n > 20",
    "for k,v in pairs(nil) do end", "for k,v in pairs(5) do end", "for i,v in ipairs(nil) do end",
    "local t=setmetatable({},{__index=function(t,k) return k..'!' end}) return t.hi", "return getmetatable({})",
    "local t=setmetatable({},{__metatable='m'}) return getmetatable(t)", "setmetatable(setmetatable({},{__metatable=1}),{})",
    "setmetatable(1,{})", "local t=setmetatable({},{__call=function(_,a) return a end}) return t(4)",
    "getmetatable(_G).x = 1", "getmetatable(_G).__index = {}", "rawset(getmetatable(_G),'x',1)", "setmetatable(getmetatable(_G),{})",
    "return type(getmetatable(_G))", "return type(getmetatable(_G).__index)",
    # As many arguments as Lua's stack takes.
    "local t={} for i=1,7990 do t[i]=i end return redis.call('rpush','long',unpack(t))", "local t={} for i=1,7990 do t[i]=i end return redis.pcall('get',unpack(t))",
    "local t={} for i=1,7990 do t[i]=i end t[7990]={} return redis.pcall('rpush','long',unpack(t))", "local t={} for i=1,7990 do t[i]=i end return redis.call('nosuch',unpack(t))",
    "return redis.call('lrange','long',7985,-1)", "return redis.call('del','long')",
    # What only scripts are refused, or get in order.
    "return redis.pcall('xread','BLOCK',0,'STREAMS','x','$')",
    "return redis.pcall('xreadgroup','group','g','c','noack','BLOCK',0,'STREAMS','x','>')", "return redis.pcall('xread','STREAMS','block','$')", "return redis.pcall('xread','block')",
    "redis.call('sadd','unsorted','b','aa','a','c','aaa') return {redis.call('sort','unsorted','by','x'), redis.call('sort_ro','unsorted','by','x','desc'), redis.call('sort','unsorted','by','x','limit',1,2,'get','#')}",
    "redis.call('rpush','unordered','b','aa','a') return {redis.call('sort','unordered','by','x'), redis.call('del','unordered','unsorted')}",
    # redis.*
    "return redis.sha1hex('')", "return redis.sha1hex('abc')", "return redis.sha1hex(string.rep('x',200))", "return redis.sha1hex(1)",
    "return redis.sha1hex()", "return redis.sha1hex('a','b')", "return redis.replicate_commands()", "return redis.set_repl(redis.REPL_ALL)",
    "redis.set_repl()", "redis.set_repl(8)", "return redis.set_repl(redis.REPL_NONE)", "return redis.breakpoint()",
    "return redis.debug('x')", "return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}",
    "return {redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}",
    "return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}", "redis.log(redis.LOG_DEBUG,'x')", "redis.log('x')", "redis.log()",
    "redis.log('a','b')", "redis.log(10,'b')", "return redis.acl_check_cmd('get','k')", "return redis.acl_check_cmd('nosuch')",
    "return redis.acl_check_cmd()", "return redis.nosuch", "return redis.nosuch()",
    # math
    "math.randomseed(1) return {tostring(math.random()),tostring(math.random())}", "math.randomseed(2) return {math.random(100),math.random(100)}",
    "math.randomseed(3) return {math.random(5,10),math.random(-5,5)}", "return math.random(0)", "return math.random(5,1)", "return math.random(1,2,3)",
    "math.randomseed(42) return {math.random(1000000),math.random(1000000)}", "math.randomseed(-1) return math.random(1000000)",
    "math.randomseed()", "return tostring(math.pi)", "return {math.floor(1.5),math.ceil(1.5),math.max(1,2),math.abs(-3),math.fmod(7,3)}",
    "return tostring(math.huge)", "return math.mod(7,3)",
    # string
    "return {string.byte('abc',1,-1)}", "return string.char(65,66)", "return string.char(256)", "return ('x'):rep(3)", "return ('x'):rep(0)",
    "return ('x'):rep(-1)", "return ('ab'):rep(4)", "return string.rep()", "return string.rep('x')", "return string.rep('x','y')",
    "return string.format('%d %s %5.2f %q %x %c %%',1,'a',1.5,'q\\n',255,65)", "return string.format('%d','x')", "return string.format('%y',1)",
    "return string.format('%s')", "return string.format('%10s|%-10s|','a','b')", "return string.format('%.3s','abcdef')", "return string.lower('ABC')",
    "return string.upper('abc')", "return string.reverse('abc')", "return string.sub('hello',2,-2)", "return string.len('abc')", "return #'abc'",
    "return string.sub()", "return string.gfind('a','b')", "return type(string.dump)", "return ('a,b,c'):find(',')", "return {('a,b,c'):find(',',3)}",
    "return {('abc'):find('b',1,true)}", "return {('a.c'):find('.',1,true)}", "return {('abc'):find('')}", "return {('abc'):find('',10)}",
    "return {('abc'):find('',-1)}", "return {('abc'):match('(a)(b)')}", "return ('abc'):match('x')", "return {('key=val'):match('^(%w+)=(%w+)$')}",
    "return {('  trim  '):match('^%s*(.-)%s*$')}", "return ('f(a(b)c)d'):match('%b()')", "return ('THE (quick) fox'):find('%((%a+)%)')",
    "return {('hello world'):gsub('o','0')}", "return {('hello'):gsub('','-')}", "return {('abc'):gsub('%w','%0%0')}", "return {('abc'):gsub('(%w)','<%1>',2)}",
    "return {('abc'):gsub('%w',{a='1',b=true})}", "return {('abc'):gsub('%w',function(c) if c=='b' then return 'X' end end)}",
    "return {('abc'):gsub('b',function() return {} end)}", "return {('abc'):gsub('b',{b={}})}", "return ('abc'):gsub('b')", "return ('abc'):gsub('b',true)",
    "return {('abc'):gsub('b','%2')}", "return {('abc'):gsub('(','x')}", "return {('abc'):gsub(')','x')}", "return ('abc'):find('[a')", "return ('abc'):find('%')",
    "return ('abc'):match('%b')", "return ('abc'):match('%f')", "return ('abc'):match('%1')", "return ('abc'):match('(a)%1')", "return ('aa'):match('(a)%1')",
    "return ('THE END'):match('%f[%a]%a+')", "return {('THE (quick) fox'):gsub('%f[%a]%a+',string.lower)}", "return {('abc'):match('()b()')}",
    "local t={} for w in ('one two'):gmatch('%a+') do t[#t+1]=w end return t", "local t={} for k,v in ('a=1,b=2'):gmatch('(%w+)=(%w+)') do t[#t+1]=k..v end return t",
    "local n=0 for _ in ('abc'):gmatch('') do n=n+1 end return n", "return ('x'):gmatch()", "return {('a-b'):gsub('%-','+')}", "return {('[x]'):gsub('[%[%]]','')}",
    "return {('a]b'):gsub('[]]','!')}", "return {('a^b'):gsub('[%^]','!')}", "return {('a-z'):gsub('[a%-z]','.')}", "return {('xyz'):gsub('[^y]','.')}",
    "return {('abc'):find('b',-2)}", "return {('äöü'):gsub('[\\128-\\255]','?')}", "return ('abc'):find('a-b')", "return {('aaa'):find('a-',2)}", "return {('aaab'):match('a-(b)')}",
    "return {('aaa'):match('^(a+)a$')}", "return ('\\0a'):find('%z')", "return {('x'):rep(10):gsub('x','%%')}", "return {('abc'):gsub('^a','x')}", "return {('a\\nb'):match('(.+)')}",
    "return ('x'):nosuch()", "return ('x').nosuch", "return {('%d'):gsub('%%d','%%s')}", "return {('abc'):gsub('.', {a=1, b=false})}",
    # table
    "return table.concat({1,2,3},',')", "return table.concat({},',')", "return table.concat({1,{},3})", "return table.concat({1,2,3},',',2,3)", "return table.concat()",
    "local t={3,1,2} table.sort(t) return t", "local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t", "table.sort({1,'x'})", "table.sort({3,2,1,4,5,6,7,8},function() return true end) return 1",
    "local t={1} table.insert(t,2) table.insert(t,1,0) return t", "table.insert(nil,1)", "table.insert({},1,2,3)", "table.insert({})", "return table.remove({})", "return table.remove({1,2,3})",
    "return table.getn({1,2})", "return table.maxn({1,2,[10]=1})", "local t={} table.foreach({a=1},function(k,v) t[1]=k end) return t", "table.setn({},1)",
    # bit
    "return {bit.band(7,3),bit.bor(1,2),bit.bxor(5,1),bit.bnot(0),bit.lshift(1,4),bit.rshift(256,4)}", "return bit.tohex(255)", "return bit.arshift(-8,1)", "return {bit.rol(1,31),bit.bswap(1)}", "bit.band('x')",
    # cjson
    "return cjson.encode({1,2,3})", "return cjson.encode({a=1})", "return cjson.encode({})", "return cjson.encode('a\\n\\0\"')", "return cjson.encode(1.5)", "return cjson.encode(1e20)", "return cjson.encode(0.1)",
    "return cjson.encode(nil)", "return cjson.encode(true)", "return cjson.encode({[1]=1,[5]=2})", "return cjson.encode({[1]=1,[100]=2})", "return cjson.encode(function() end)", "return cjson.encode({[{}]=1})", "return cjson.encode(1/0)",
    "return cjson.encode()", "return cjson.encode(1,2)", "local t={} t.a=t return cjson.encode(t)", "return cjson.encode(cjson.null)", "return cjson.decode('[1,2,{\"a\":null}]')", "return cjson.decode('{\"a\":[1,2]}').a[2]",
    "return tostring(cjson.decode('null'))", "return cjson.decode('nonsense')", "return cjson.decode('[1,')", "return cjson.decode()", "return cjson.decode(1)", "return cjson.decode({})", "return cjson.decode('\"\\\\u00e4\"')",
    "return cjson.decode('1e3')", "return cjson.decode(string.rep('[',1001)..string.rep(']',1001))", "return #cjson.decode(string.rep('[',100)..string.rep(']',100))",
    "local t={} for i=1,1001 do t={t} end return cjson.encode(t)", "return cjson.encode({[1.5]=1})", "return cjson.encode({1,2,nil,4})", "return cjson.encode({a={b={c={}}}})", "return cjson.encode_number_precision(3) == 3 and cjson.encode_number_precision(14)",
    "return cjson.encode(12345678901234)", "return cjson.encode(123456789012345678)", "return cjson._NAME",
    # struct
    "return struct.pack('>I2',258)", "return {struct.unpack('<i4',struct.pack('<i4',-5))}", "return struct.pack('>d',1.5)", "return struct.pack('<f',1.5)", "return struct.pack('s','abc')", "return struct.pack('c2','abc')", "return struct.pack('c0','abc')", "return struct.pack('c5','abc')",
    "return {struct.unpack('s',struct.pack('s','abc'))}", "return {struct.unpack('Bc0',struct.pack('Bc0',3,'abc'))}", "return {struct.unpack('c0','abc')}", "return {struct.unpack('I4','abc')}", "return struct.size('>I2i4')", "return struct.size('!8bd')", "return struct.size('s')", "return struct.size('c0')",
    "return struct.pack('!3I4',1)", "return struct.pack('!0I4',1)", "return struct.pack('z',1)", "return struct.pack('I33',1)", "return struct.pack('I99999999999',1)", "return struct.pack('I32',1)", "return struct.pack('!4bI4',1,2)", "return struct.pack('bxb',1,2)", "return struct.pack('b')", "return struct.pack('b','x')", "return struct.pack()",
    "return {struct.unpack('b','\\255')}", "return {struct.unpack('B','\\255')}", "return {struct.unpack('b','abc',3)}", "return {struct.unpack('b','abc',0)}", "return {struct.unpack('b','abc',4)}", "return {struct.unpack('s','abc')}", "return {struct.unpack('>h','\\255\\254')}", "return struct.pack('<L',2^40)", "return struct.pack('<l',-1)", "return struct.pack('T',7)", "return struct.pack(' < > I2',1)",
    # cmsgpack
    "return cmsgpack.pack(1)", "return cmsgpack.pack(-1)", "return cmsgpack.pack(128)", "return cmsgpack.pack(-129)", "return cmsgpack.pack(1.5)", "return cmsgpack.pack(0.1)", "return cmsgpack.pack(2^40)", "return cmsgpack.pack(-2^40)", "return cmsgpack.pack('abc')", "return cmsgpack.pack(string.rep('x',300))", "return cmsgpack.pack(string.rep('x',70000)):sub(1,8)", "return cmsgpack.pack({1,2,3})", "return cmsgpack.pack({a=1})", "return cmsgpack.pack({})", "return cmsgpack.pack({1,nil,3})", "return cmsgpack.pack(nil,true,false)", "return cmsgpack.pack()",
    "return cmsgpack.pack({[1]=1,[3]=3})", "return cmsgpack.pack(function() end)", "local t={} t[1]=t return cmsgpack.pack(t)", "return {cmsgpack.unpack(cmsgpack.pack({1,'a',{b=2}}))}", "return cmsgpack.unpack(cmsgpack.pack({1,2,3}))", "return {cmsgpack.unpack(cmsgpack.pack(1,2,'x'))}", "return {cmsgpack.unpack_one(cmsgpack.pack(1,2))}", "return {cmsgpack.unpack_one(cmsgpack.pack(1,2),1)}", "return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}", "return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2,1)}", "return cmsgpack.unpack_limit('x')", "return cmsgpack.unpack_one('abc',10)", "return cmsgpack.unpack_one('abc',-1)",
    "return cmsgpack.unpack('\\192')", "return cmsgpack.unpack('\\193')", "return cmsgpack.unpack('\\220')", "return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "return cmsgpack.unpack('\\219\\255\\255\\255\\255')", "return cmsgpack.unpack('')", "return cmsgpack.unpack()", "return cmsgpack.unpack({})", "return cmsgpack.unpack('\\129\\192\\1')", "return cmsgpack._NAME", "return cmsgpack._VERSION", "local a = {} for i=1,20 do a={a} end return cmsgpack.pack(a)", "return tostring(cmsgpack.unpack('\\207\\255\\255\\255\\255\\255\\255\\255\\255'))", "return tostring(cmsgpack.unpack('\\211\\255\\255\\255\\255\\255\\255\\255\\255'))",
    # coroutine
    "local c=coroutine.create(function(a) local b=coroutine.yield(a+1) return b*2 end) local _,x=coroutine.resume(c,1) local _,y=coroutine.resume(c,10) return {x,y}", "return coroutine.wrap(function() return redis.call('get','n') end)()", "return {coroutine.resume(coroutine.create(function() error('x') end))}", "coroutine.yield()", "return coroutine.status(coroutine.create(print))",
    # First lines.
    "#!lua\nreturn 1", "#!lua flags=no-writes\nreturn redis.call('set','x','y')", "#!lua flags=no-writes\nreturn redis.call('get','n')", "#!lua flags=allow-oom,no-cluster\nreturn 2", "#!lua flags=allow-stale,allow-cross-slot-keys\nreturn 3", "#!lua flags=bad\nreturn 1", "#!python\nreturn 1", "#!lua name=x\nreturn 1", "#!lua", "#!", "#!lua flags=\nreturn 1", "#!lua flags=no-writes,bad\nreturn 1", "#!lua\nreturn x", "#!lua  flags=no-writes  \nreturn 4", "#! lua\nreturn 1",
]

ODD_EVALS = [
    ["EVAL", "return 1"], ["EVAL", "return 1", "x"], ["EVAL", "return 1", "-1"], ["EVAL", "return 1", "1"], ["EVAL", "return 1", "2", "a"], ["EVAL", "return 1", "1.5"],
    ["EVALSHA", "x", "0"], ["EVALSHA", "0" * 40, "0"], ["EVALSHA", "z" * 40, "0"], ["EVALSHA", "0" * 40, "x"], ["EVALSHA", "0" * 40, "5"],
    ["EVAL_RO", "return redis.call('set','k','v')", "1", "k"], ["EVAL_RO", "return redis.call('get',KEYS[1])", "1", "n"], ["EVAL_RO", "#!lua\nreturn 1", "0"], ["EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0"], ["EVAL_RO", "return redis.pcall('del','k')", "0"], ["EVALSHA_RO", "0" * 40, "0"],
    ["SCRIPT", "LOAD", "return 'loaded'"], ["EVALSHA", "SHA:return 'loaded'", "0"], ["EVALSHA", "UP:return 'loaded'", "0"], ["SCRIPT", "LOAD", "return 'other'"],
    ["SCRIPT", "EXISTS", "SHA:return 'loaded'", "UP:return 'other'", "0" * 40, "x"], ["SCRIPT", "LOAD", "x x"], ["SCRIPT", "LOAD", "#!bad\n"], ["SCRIPT", "FLUSH"], ["SCRIPT", "EXISTS", "SHA:return 'loaded'"], ["EVALSHA", "SHA:return 'loaded'", "0"],
]


def encode_case(case):
    if isinstance(case, str):
        case = (case,)
    script, keys, args = (*case, [], [])[:3]
    return [part.encode("latin-1") for part in ["EVAL", script, str(len(keys)), *keys, *args]]


def encode_odd(words):
    out = []
    for word in words:
        if word.startswith("SHA:"):
            word = hashlib.sha1(word[4:].encode()).hexdigest()
        elif word.startswith("UP:"):
            word = hashlib.sha1(word[3:].encode()).hexdigest().upper()
        out.append(word.encode("latin-1"))
    return out


class Values:
    """Random Lua values and texts, as source."""

    def __init__(self, rand):
        self.rand = rand

    def number(self):
        kind = self.rand.randrange(5)
        if kind == 0:
            return str(self.rand.randrange(-300, 300))
        if kind == 1:
            return str(self.rand.choice([-1, 1]) * 2 ** self.rand.randrange(54) + self.rand.randrange(-2, 3))
        if kind == 2:
            return repr(self.rand.uniform(-1000, 1000))
        if kind == 3:
            return repr(self.rand.randrange(-4000, 4000) / 8)
        return repr(self.rand.uniform(-1, 1) * 10 ** self.rand.randrange(-20, 20))

    def text(self, size=8):
        return "".join(f"\\{self.rand.randrange(256):03d}" for _ in range(self.rand.randrange(size)))

    def value(self, depth=3):
        kind = self.rand.randrange(7 if depth else 5)
        if kind < 2:
            return self.number()
        if kind < 4:
            return f"'{self.text(40)}'"
        if kind == 4:
            return self.rand.choice(["true", "false"])
        if kind == 5:
            return "{" + ",".join(self.value(depth - 1) for _ in range(self.rand.randrange(20))) + "}"
        # One key: the order of several is that of the addresses.
        return "{[" + f"'{self.text()}'" + "]=" + self.value(depth - 1) + "}"

    def pattern(self):
        items = ["a", "b", ".", "%a", "%d", "%s", "%w", "[ab]", "[^a]", "[%w_]", "[a-c]", "%.", "x", " ", "%b()", "%f[%w]", "%1", "%", "[", "]", "[]"]
        out = "^" if self.rand.random() < 0.2 else ""
        for _ in range(self.rand.randrange(6)):
            item = self.rand.choice(items)
            item += self.rand.choice(["", "", "*", "+", "-", "?"])
            out += f"({item})" if self.rand.random() < 0.3 else item
            out += "()" if self.rand.random() < 0.05 else ""
        return out + ("$" if self.rand.random() < 0.2 else "")

    def subject(self):
        return "".join(self.rand.choice("aabbc 12._()x") for _ in range(self.rand.randrange(24)))

    def script(self):
        kind = self.rand.randrange(9)
        if kind == 0:
            return f"return cmsgpack.pack({self.value()})"
        if kind == 1:
            return f"return {{cmsgpack.unpack('{self.text(12)}')}}"
        if kind == 2:
            return f"return cjson.encode({self.value()})"
        if kind == 3:
            return f"return cmsgpack.unpack(cmsgpack.pack({self.value()}))"
        if kind == 4:
            form = "".join(self.rand.choice(["b", "B", "h", "H", "i", "I", "l", "L", "i3", "I7", "f", "d", "<", ">", "!4", "!", "x", " ", "s", "c3"]) for _ in range(self.rand.randrange(6)))
            args = ",".join(self.rand.choice([self.number(), f"'{self.text()}'"]) for _ in range(self.rand.randrange(7)))
            return f"return struct.pack('{form}'{',' if args else ''}{args})"
        if kind == 5:
            form = "".join(self.rand.choice(["b", "B", "h", "H", "i", "I", "l", "L", "i3", "I7", "d", "<", ">", "!4", "x", "s", "c2", "c0"]) for _ in range(self.rand.randrange(6)))
            return f"local t={{struct.unpack('{form}','{self.text(30)}')}} for i,v in ipairs(t) do t[i]=tostring(v) end return t"
        if kind == 6:
            return f"return {{string.find([==[{self.subject()}]==],[==[{self.pattern()}]==])}}"
        if kind == 7:
            return f"return {{string.gsub([==[{self.subject()}]==],[==[{self.pattern()}]==],'<%0>')}}"
        return f"local t={{}} for a,b in string.gmatch([==[{self.subject()}]==],[==[{self.pattern()}]==]) do t[#t+1]={{a,b}} end return t"


def compare(redis, runner, commands):
    wanted, got = redis.run(commands), runner.run(commands)
    bad = 0
    for command, want, have in zip(commands, wanted, got):
        if want != have:
            bad += 1
            print(f"{command}\n  redis  {want}\n  runner {have}")
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runner")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        return 77
    with tempfile.TemporaryDirectory(prefix="sherd-script-") as folder, \
            contextlib.ExitStack() as stack:
        redis = differential.Redis(folder)
        stack.callback(redis.stop)
        runner = differential.Runner(os.path.abspath(options.runner), folder, 1)
        stack.callback(runner.stop)
        commands = [encode_case(case) for case in CASES] + [encode_odd(words) for words in ODD_EVALS]
        bad = compare(redis, runner, commands)
        for seed in range(options.first, options.first + options.seeds):
            values = Values(random.Random(seed))
            found = compare(redis, runner, [encode_case(values.script()) for _ in range(300)])
            if found:
                print(f"seed {seed}: {found} differences")
            bad += found
        print(f"{len(commands)} scripts, {options.seeds} seeds, {bad} differences")
        return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
