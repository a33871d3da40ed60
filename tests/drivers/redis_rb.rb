# redis-rb (Debian's ruby-redis) on the stable URI: the same client object before and after a failover, TLS 1.2 and 1.3.
# Always: certificates and host names are verified.

require "json"
require "openssl"
require "redis"

SERVICE = ENV.fetch("PONTOON_SERVICE")
FAILOVER = ENV["PONTOON_FAILOVER"] == "1"
BINARY = ((0..255).to_a.pack("C*") + "\r\n$5\r\n\0end".b).freeze

def service = JSON.parse(File.read(SERVICE))

$passed = 0
$failed = 0
def check(name)
  yield
  $passed += 1
  puts "ok #{name}"
rescue StandardError => e
  $failed += 1
  puts "FAILED #{name}: #{e.class}: #{e.message}", e.backtrace.first(5)
end

def equal(wanted, found)
  raise "wanted #{wanted.inspect}, found #{found.inspect}" unless wanted == found
end

def eventually(what, seconds)
  finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  reason = "no answer"
  while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
    begin
      answer = yield
      return answer if answer
    rescue StandardError => e
      reason = "#{e.class}: #{e.message}"
    end
    sleep 0.05
  end
  raise "#{what} did not happen within #{seconds} s (#{reason})"
end

def primary
  found = service["nodes"].select { |node| node["role"] == "primary" }
  found.length == 1 ? found[0] : nil
end

# kill -9 of the primary; ends once another node is primary.
def strike_primary
  old = eventually("one primary", 20) { primary }
  Process.kill("KILL", old["pid"])
  now = eventually("another primary than node #{old["id"]}", 20) do
    found = primary
    found if found && found["id"] != old["id"]
  end
  puts "   killed node #{old["id"]} (pid #{old["pid"]}); node #{now["id"]} is primary"
end

def connect(version)
  Redis.new(
    url: service["uri"], timeout: 5, reconnect_attempts: 60, reconnect_delay: 0.1, reconnect_delay_max: 0.2,
    ssl_params: { ca_file: service["ca"], verify_mode: OpenSSL::SSL::VERIFY_PEER, min_version: version, max_version: version }
  )
end

def everything(redis, tag)
  check("redis-rb #{tag} values") do
    equal "OK", redis.set("#{tag}:bin", BINARY)
    equal BINARY, redis.get("#{tag}:bin").b
    equal nil, redis.get("#{tag}:missing")
    redis.mapped_hmset("#{tag}:h", { "f" => "x", "g" => "1" })
    equal({ "f" => "x", "g" => "1" }, redis.hgetall("#{tag}:h"))
    redis.zadd("#{tag}:z", [[1.5, "a"], [2, "b"]])
    equal [["a", 1.5], ["b", 2.0]], redis.zrange("#{tag}:z", 0, -1, with_scores: true)
  end
  check("redis-rb #{tag} pipelines") do
    replies = redis.pipelined { |pipe| 200.times { |i| pipe.set("#{tag}:p:#{i}", i); pipe.get("#{tag}:p:#{i}") } }
    equal (0...200).flat_map { |i| ["OK", i.to_s] }, replies
  end
  check("redis-rb #{tag} transactions") do
    key = "#{tag}:tx"
    equal ["OK", 2, "2"], redis.multi { |tx| tx.set(key, 1); tx.incr(key); tx.get(key) }
    other = redis.dup
    refused = redis.watch(key) do
      other.set(key, 10)
      redis.multi { |tx| tx.set(key, 11) }
    end
    equal nil, refused
    equal [11], redis.watch(key) { redis.multi { |tx| tx.incr(key) } }
    other.close
  end
  check("redis-rb #{tag} pub/sub") do
    got = Queue.new
    ready = Queue.new
    listener = redis.dup
    thread = Thread.new do
      listener.subscribe("#{tag}:ch") do |on|
        on.subscribe { ready << true }
        on.message { |_, message| got << message; listener.unsubscribe }
      end
    end
    ready.pop
    equal 1, redis.publish("#{tag}:ch", BINARY)
    equal BINARY, got.pop.b
    thread.join(5) or raise "UNSUBSCRIBE did not end the subscription"
    listener.close
  end
  check("redis-rb #{tag} scan") do
    wanted = (0...1000).map { |i| "#{tag}:scan:#{i}" }
    redis.mset(*wanted.flat_map { |key| [key, 1] })
    equal wanted.sort, redis.scan_each(match: "#{tag}:scan:*", count: 100).to_a.uniq.sort
  end
end

check("redis-rb refusals") do
  refused = false
  begin
    Redis.new(url: service["uri"], timeout: 5, reconnect_attempts: 0).ping
  rescue Redis::CannotConnectError, OpenSSL::SSL::SSLError => e
    refused = e.message.include?("certificate verify failed")
  end
  raise "a certificate of an unknown CA was accepted" unless refused
end
{ "TLSv1.2" => OpenSSL::SSL::TLS1_2_VERSION, "TLSv1.3" => OpenSSL::SSL::TLS1_3_VERSION }.each do |name, version|
  redis = connect(version)
  tag = "rb:#{name}"
  everything(redis, tag)
  next unless FAILOVER

  check("redis-rb #{tag} failover") do
    acknowledged = []
    running = true
    writer = Thread.new do
      n = 0
      while running
        n += 1
        begin
          acknowledged << n if redis.set("#{tag}:load:#{n}", n) == "OK"
        rescue Redis::BaseError
          next # its outcome is unknown: nothing is claimed about it
        end
      end
    end
    eventually("writes", 10) { acknowledged.length > 20 }
    strike_primary
    before = acknowledged.length
    eventually("writes after the failover", 20) { acknowledged.length > before + 20 }
    running = false
    writer.join(30) or raise "a write neither succeeded nor failed for 30 s"
    found = redis.mget(*acknowledged.map { |n| "#{tag}:load:#{n}" })
    lost = acknowledged.zip(found).reject { |n, value| value == n.to_s }
    raise "#{lost.length} of #{acknowledged.length} acknowledged writes lost: #{lost.first(5)}" unless lost.empty?

    eventually("every node primary or standby", 30) { service["nodes"].all? { |node| %w[primary standby].include?(node["role"]) } }
  end
  everything(redis, "#{tag}:after")
  redis.close
end
puts "#{$passed} passed, #{$failed} failed"
exit($failed.zero? && $passed.positive? ? 0 : 1)
