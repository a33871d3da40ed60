-- What a script sees: built once per VM, from the real globals and `native` (functions written in Rust).
-- A protected table is an empty one whose metatable reads the real table and refuses writes; the real ones
-- never reach a script. Everything here works on locals alone, so that a changed environment harms nothing.
local native, libraries = ...

local error, getfenv, getmetatable, loadstring, next, pcall, rawget, rawset, select, setfenv, setmetatable, tostring,
    type, unpack, xpcall, collectgarbage =
    error, getfenv, getmetatable, loadstring, next, pcall, rawget, rawset, select, setfenv, setmetatable, tostring,
    type, unpack, xpcall, collectgarbage
local concat, insert, remove, sort, foreach, foreachi, maxn = table.concat, table.insert, table.remove, table.sort,
    table.foreach, table.foreachi, table.maxn
local resume, byte = coroutine.resume, string.byte

local READONLY = "Attempt to modify a readonly table"
local real = setmetatable({}, { __mode = "k" })
local globals = {}
local env = {}
local builtins = {
    assert = assert, tonumber = tonumber, tostring = tostring, type = type, select = select, unpack = unpack,
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

for name, value in next, builtins do
    globals[name] = value
end

function globals.pcall(...)
    return settle(pcall(...))
end

function globals.xpcall(f, handler)
    return xpcall(f, function(e)
        return handler(plain(e))
    end)
end

function globals.getmetatable(t)
    if t == env then
        return protect({})
    end
    if real[t] then
        return nil
    end
    return getmetatable(t)
end

function globals.setmetatable(t, m)
    if real[t] then
        error(READONLY, 2)
    end
    return setmetatable(t, m)
end

function globals.rawset(t, k, v)
    if real[t] then
        error(READONLY, 2)
    end
    return rawset(t, k, v)
end

function globals.rawget(t, k)
    return rawget(real[t] or t, k)
end

local function following(t, k)
    return next(real[t] or t, k)
end
globals.next = following

function globals.pairs(t)
    if real[t] then
        return following, t, nil
    end
    if type(t) ~= "table" then
        error("bad argument #1 to 'pairs' (table expected, got " .. (t == nil and "nil" or type(t)) .. ")", 2)
    end
    return next, t, nil
end

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

function globals.setfenv(f, t)
    if f == 0 then
        error(READONLY, 2)
    end
    if type(f) == "number" then
        f = f + 1
    end
    return setfenv(f, t)
end

local function load_text(text, name)
    if byte(text, 1) == 27 then
        return nil, "attempt to load a binary chunk"
    end
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
        error("bad argument #1 to 'loadstring' (string expected, got " .. (text == nil and "no value" or type(text)) .. ")", 2)
    end
    return load_text(text, name)
end

function globals.load(f, name)
    if type(f) ~= "function" then
        error("bad argument #1 to 'load' (function expected, got " .. (f == nil and "no value" or type(f)) .. ")", 2)
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
        pieces[#pieces + 1] = piece
    end
    return load_text(concat(pieces), name or "=(load)")
end

function globals.collectgarbage(what, ...)
    if what == nil or what == "collect" or what == "count" or what == "step" then
        return collectgarbage(what, ...)
    end
    return 0
end

-- Functions of the table library that write past metatables.
local function writes(f)
    return function(t, ...)
        if real[t] then
            error(READONLY, 2)
        end
        return f(t, ...)
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
tables.insert, tables.remove, tables.sort = writes(insert), writes(remove), writes(sort)
tables.foreach = function(t, f)
    return foreach(real[t] and copy(real[t]) or t, f)
end
tables.setn = nil
coroutines.resume = function(...)
    return settle_resume(resume(...))
end
maths.random, maths.randomseed = native.random, native.randomseed

globals.table, globals.coroutine, globals.math = protect(tables), protect(coroutines), protect(maths)
globals.string = protect(strings)
string_metatable.__index = globals.string
string_metatable.__metatable = protect({ __index = globals.string })
for name, library in next, libraries do
    globals[name] = protect(library)
end
globals._G = env

setmetatable(globals, {
    __index = function(_, name)
        error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
})
real[env] = globals
setmetatable(env, { __index = globals, __newindex = refuse, __metatable = false })

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

return env, globals, run
