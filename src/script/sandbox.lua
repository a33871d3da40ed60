-- What scripts and functions see: built once per VM, from the real globals and `native` (functions written in Rust).
-- A protected table is an empty one whose metatable reads the real table and refuses writes; the real ones
-- never reach a script. Everything here works on locals alone, so that a changed environment harms nothing.
-- Scripts, functions and the code that registers functions each have globals of their own; libraries are shared.
local native, libraries, redis, load_redis = ...

local error, getfenv, getmetatable, loadstring, next, pcall, rawget, rawset, select, setfenv, setmetatable, tonumber,
    tostring, type, unpack, xpcall, collectgarbage =
    error, getfenv, getmetatable, loadstring, next, pcall, rawget, rawset, select, setfenv, setmetatable, tonumber,
    tostring, type, unpack, xpcall, collectgarbage
local sort, foreach, maxn, concat = table.sort, table.foreach, table.maxn, table.concat
local resume, byte = coroutine.resume, string.byte
local look, sort_plain, is_native = native.look, native.sort_plain, native.is_native

local READONLY = "Attempt to modify a readonly table"
local real = setmetatable({}, { __mode = "k" })
local env, function_env = {}, {}
local shared = {
    assert = assert, tonumber = tonumber, tostring = tostring, type = type, select = select,
    rawequal = rawequal, ipairs = ipairs, error = error, gcinfo = gcinfo, _VERSION = _VERSION,
}
local kept = { string = string, math = math, table = table, coroutine = coroutine }
local string_metatable = getmetatable("")
setfenv(1, env)

local function refuse()
    error(READONLY, 2)
end

local function protect(t)
    local proxy = {}
    real[proxy] = t
    return setmetatable(proxy, { __index = t, __newindex = refuse, __metatable = false })
end

local function nonexistent(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

-- Protected, and names that are not there are errors.
local function protect_strict(t)
    return protect(setmetatable(t, { __index = nonexistent }))
end

-- Errors of Rust functions travel as userdata; a script sees the text or the table that they stand for.
local function plain(e)
    if type(e) == "userdata" then
        return native.plain(e)
    end
    return e
end

local function settle(ok, e, ...)
    if ok then
        return ok, e, ...
    end
    e = plain(e)
    if type(e) == "table" and type(e.err) == "string" then
        e = e.err
    end
    return false, e
end

local function settle_resume(ok, e, ...)
    if ok then
        return ok, e, ...
    end
    return false, plain(e)
end

function shared.pcall(...)
    return settle(pcall(...))
end

function shared.xpcall(f, handler)
    return xpcall(f, function(e)
        return handler(plain(e))
    end)
end

function shared.getmetatable(t)
    if t == env or t == function_env then
        return protect({})
    end
    if real[t] then
        return nil
    end
    return getmetatable(t)
end

-- What lies between the bounds is counted here: in C, between -2^31 and 2^31 - 1 the count overflows.
function shared.unpack(t, first, last)
    local kind = type(t)
    if kind ~= "table" then
        error("bad argument #1 to 'unpack' (table expected, got " .. (t == nil and "no value" or kind) .. ")", 2)
    end
    local i, e = first == nil and 1 or tonumber(first), last == nil and #t or tonumber(last)
    if not i or not e then
        local at, got = i and 3 or 2, type(i and last or first)
        error("bad argument #" .. at .. " to 'unpack' (number expected, got " .. got .. ")", 2)
    end
    if i > e then
        return
    end
    if e - i >= 8000 or e ~= e or i ~= i then
        error("too many results to unpack", 2)
    end
    return unpack(t, i, e)
end

function shared.setmetatable(t, m)
    if real[t] then
        error(READONLY, 2)
    end
    return setmetatable(t, m)
end

function shared.rawset(t, k, v)
    if real[t] then
        error(READONLY, 2)
    end
    return rawset(t, k, v)
end

function shared.rawget(t, k)
    return rawget(real[t] or t, k)
end

local function following(t, k)
    return next(real[t] or t, k)
end
shared.next = following

function shared.pairs(t)
    if real[t] then
        return following, t, nil
    end
    if type(t) ~= "table" then
        error("bad argument #1 to 'pairs' (table expected, got " .. (t == nil and "nil" or type(t)) .. ")", 2)
    end
    return next, t, nil
end

function shared.setfenv(f, t)
    if f == 0 then
        error(READONLY, 2)
    end
    if type(f) == "number" then
        f = f + 1
    end
    return setfenv(f, t)
end

-- The globals that lead to an environment: those of scripts, or of functions.
local function of(env)
    local globals = {}

    function globals.getfenv(f)
        if f == nil then
            f = 1
        end
        if f == 0 then
            return env
        end
        if type(f) == "number" then
            f = f + 1
        end
        return getfenv(f)
    end

    local function load_text(text, name)
        if byte(text, 1) == 27 then
            return nil, "attempt to load a binary chunk"
        end
        if #text > native.code_max then
            return nil, "not enough memory"
        end
        look()
        local f, e = loadstring(text, name)
        if f then
            setfenv(f, env)
        end
        return f, e
    end

    function globals.loadstring(text, name)
        if type(text) == "number" then
            text = tostring(text)
        end
        if type(text) ~= "string" then
            local got = text == nil and "no value" or type(text)
            error("bad argument #1 to 'loadstring' (string expected, got " .. got .. ")", 2)
        end
        return load_text(text, name)
    end

    function globals.load(f, name)
        if type(f) ~= "function" then
            local got = f == nil and "no value" or type(f)
            error("bad argument #1 to 'load' (function expected, got " .. got .. ")", 2)
        end
        local pieces = {}
        while true do
            local piece = f()
            if piece == nil or piece == "" then
                break
            end
            if type(piece) ~= "string" then
                return nil, "reader function must return a string"
            end
            if #pieces == 0 and byte(piece, 1) == 27 then
                -- A reader that never ends would else be read until memory ends.
                return load_text(piece)
            end
            pieces[#pieces + 1] = piece
        end
        return load_text(concat(pieces), name or "=(load)")
    end

    globals._G = env
    return globals
end

function shared.collectgarbage(what, ...)
    look()
    if what == nil or what == "collect" or what == "count" or what == "step" then
        return collectgarbage(what, ...)
    end
    return 0
end

-- Functions of the table library that write past metatables.
local function writes(f)
    return function(...)
        if real[(...)] then
            error(READONLY, 2)
        end
        return f(...)
    end
end
local function expect(at, name, wanted, value)
    if type(value) ~= wanted then
        local got = value == nil and "no value" or type(value)
        error("bad argument #" .. at .. " to '" .. name .. "' (" .. wanted .. " expected, got " .. got .. ")", 3)
    end
end
local function settle_sort(ok, e)
    if ok then
        return
    end
    e = plain(e)
    if type(e) == "string" then
        e = native.gsub(e, "^sandbox:%d+: ", "")
    end
    error(e, 0)
end
local function sorted(t, order)
    if real[t] then
        error(READONLY, 2)
    end
    expect(1, "sort", "table", t)
    if order ~= nil then
        expect(2, "sort", "function", order)
        -- Between two functions of C nothing would look at the script's time until all is sorted.
        return settle_sort(pcall(sort, t, is_native(order) and function(a, b)
            return order(a, b)
        end or order))
    end
    if not sort_plain(t) then
        return settle_sort(pcall(sort, t, function(a, b)
            return a < b
        end))
    end
end
local function copy(t)
    local c = {}
    for k, v in next, t do
        c[k] = v
    end
    return c
end
local tables, coroutines, maths, strings = copy(kept.table), copy(kept.coroutine), copy(kept.math), copy(kept.string)
tables.insert, tables.remove, tables.sort, tables.concat = writes(native.insert), writes(native.remove), sorted,
    native.concat
tables.maxn = function(t)
    look()
    return maxn(t)
end
tables.foreach = function(t, f)
    return foreach(real[t] and copy(real[t]) or t, f)
end
tables.setn = nil
coroutines.resume = function(...)
    return settle_resume(resume(...))
end
strings.gfind = native.gmatch
for _, name in next, { "rep", "find", "match", "gmatch", "gsub", "lower", "upper", "reverse" } do
    strings[name] = native[name]
end
maths.random, maths.randomseed = native.random, native.randomseed

shared.table, shared.coroutine, shared.math = protect(tables), protect(coroutines), protect(maths)
shared.string = protect(strings)
string_metatable.__index = shared.string
string_metatable.__metatable = protect({ __index = shared.string })
for name, library in next, libraries do
    shared[name] = protect(library)
end

-- What redis.breakpoint and the like are to scripts, functions do not have.
local function_redis = copy(redis)
function_redis.breakpoint, function_redis.debug, function_redis.replicate_commands = nil, nil, nil

local function close(env, redis)
    local globals = of(env)
    for name, value in next, shared do
        globals[name] = value
    end
    globals.redis = protect(redis)
    real[env] = setmetatable(globals, { __index = nonexistent })
    local metatable = { __index = globals, __newindex = refuse, __metatable = false }
    setmetatable(env, metatable)
    return globals, metatable
end

local globals = close(env, redis)
local function_globals, function_metatable = close(function_env, function_redis)
local load_globals = setmetatable({ redis = protect_strict(load_redis) }, { __index = nonexistent })

-- Gives every error that ends a script its place.
local function handler(e)
    e = plain(e)
    if type(e) ~= "table" or real[e] then
        e = { err = "ERR " .. tostring(e) }
    end
    local source, line = native.where()
    if source then
        e.source, e.line = source, line
    end
    return e
end

local function run(f, keys, args)
    if keys then
        return xpcall(function()
            return f(keys, args)
        end, handler)
    end
    return xpcall(f, handler)
end

local function settle_load(ok, e)
    rawset(function_metatable, "__index", function_globals)
    real[function_env] = function_globals
    if ok then
        return ok
    end
    return false, plain(e)
end

-- Runs the code of a library, which sees nothing but what it needs to register functions.
local function load_library(f)
    rawset(function_metatable, "__index", load_globals)
    real[function_env] = load_globals
    return settle_load(pcall(f))
end

return env, globals, function_env, run, load_library
