# Sidekiq 6.4 (ruby-sidekiq of Debian): two processes, each on its own router; queues under their
# default names in a co-located database.
#
#   sidekiq_queue.rb HOST PORT PORT2
#
# `sidekiq -r` loads this file too, for its jobs.

require "sidekiq"
require "sidekiq/api"

# Debian's sidekiq is older than its redis.
Redis.silence_deprecations = true
Redis.sadd_returns_boolean = false

DATABASE = 7
PATIENCE = Float(ENV.fetch("SHERD_TEST_PATIENCE", "1"))
SECONDS = 30 * PATIENCE

def note(text)
  Sidekiq.redis { |redis| redis.rpush("notes", text) }
end

class Note
  include Sidekiq::Worker

  def perform(text, options = {})
    note("#{text}#{options["mark"]}")
  end
end

class Flaky
  include Sidekiq::Worker
  sidekiq_options retry: 2
  sidekiq_retry_in { 1 }
  sidekiq_retries_exhausted { |job, error| note("exhausted:#{job["args"][0]}:#{error.message}") }

  def perform(name, failures)
    tried = Sidekiq.redis { |redis| redis.incr("tried:#{name}") }
    raise ArgumentError, "attempt #{tried}" if tried <= failures

    note("#{name}:#{tried}")
  end
end

# Runs until it is told to go on; a process that ends meanwhile gives it back.
class Slow
  include Sidekiq::Worker

  def perform
    Sidekiq.redis { |redis| redis.incr("slow") }
    sleep 0.02 until Sidekiq.redis { |redis| redis.get("go") }
    note("slow")
  end
end

Sidekiq.configure_server do |config|
  config.redis = {url: ENV.fetch("REDIS_URL")}
  config.options[:poll_interval_average] = 0.5
end

# What the main program checks.
class Checks
  def initialize(host, ports)
    @host = host
    @ports = ports
    @children = []
    @count = 0
    Sidekiq.configure_client { |config| config.redis = {url: url(0)} }
    @other = ConnectionPool.new { Redis.new(url: url(1)) }
  end

  def url(index)
    "redis://#{@host}:#{@ports[index]}/#{DATABASE}"
  end

  def equal(what, got, wanted)
    @count += 1
    abort "sidekiq: #{what}\n  got:    #{got.inspect}\n  wanted: #{wanted.inspect}" if got != wanted
  end

  def wait_until(what)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + SECONDS
    until yield
      abort "sidekiq: #{what} in vain" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      sleep 0.02
    end
    @count += 1
  end

  def notes
    @other.with { |redis| redis.lrange("notes", 0, -1) }
  end

  def forget
    Sidekiq.redis { |redis| redis.del("notes", "go", "slow") }
  end

  def start(index, *flags)
    environment = {"REDIS_URL" => url(index)}
    # Its end must take longer than its waits of two seconds: what it gives back could be handed to
    # one of these.
    @children << spawn(environment, "sidekiq", "-r", File.expand_path(__FILE__), "-t", "3", *flags,
      in: File::NULL, out: File::NULL, pgroup: true)
    @children.last
  end

  def stop(child)
    @children.delete(child)
    Process.kill("TERM", child)
    Process.wait2(child)[1].exitstatus
  end

  def kill
    @children.each { |child| Process.kill("KILL", child) }
  end

  def exactly_once
    ids = 60.times.map { |i| Note.perform_async("n#{i}") }
    pool = @other
    ids += 60.times.map { |i| Sidekiq::Client.new(pool).push("class" => Note, "args" => ["o#{i}"]) }
    ids += Sidekiq::Client.push_bulk("class" => Note,
      "args" => 80.times.map { |i| ["b#{i}", {"mark" => "☃"}] })
    equal("ids", ids.uniq.size, 200)
    wait_until("all jobs") { notes.size >= 200 }
    wanted = 60.times.flat_map { |i| ["n#{i}", "o#{i}"] } + 80.times.map { |i| "b#{i}☃" }
    equal("each job once", notes.sort, wanted.sort)
    wait_until("the statistics") { Sidekiq::Stats.new.processed >= 200 }
    equal("nothing is left", Sidekiq::Queue.new.size, 0)
    wait_until("both processes") { Sidekiq::ProcessSet.new.size == 2 }
    forget
  end

  def times
    began = Time.now
    Note.perform_in(1, "in")
    Note.perform_at(Time.now + 0.5, "at")
    Note.perform_at(Time.now + 86_400, "tomorrow")
    equal("scheduled", Sidekiq::ScheduledSet.new.map { |job| job.args[0] }.sort,
      %w[at in tomorrow])
    wait_until("their time") { notes.size == 2 }
    equal("in order", notes, %w[at in])
    equal("not before", Time.now - began >= 1, true)
    set = Sidekiq::ScheduledSet.new
    set.first.delete
    equal("deleted", set.size, 0)
    forget
  end

  def retries
    Flaky.perform_async("twice", 2)
    Flaky.perform_async("lost", 99)
    # A retry waits for a second, and for up to 20 more by chance: these are rescheduled.
    retries = Sidekiq::RetrySet.new
    2.times do |i|
      wait_until("failure #{i + 1} of both") do
        retries.map { |job| job["error_message"] } == ["attempt #{i + 1}"] * 2
      end
      retries.each { |job| job.reschedule(Time.now) }
    end
    wait_until("the retries") { notes.size == 2 }
    equal("at last, and given up", notes.sort, ["exhausted:lost:attempt 3", "twice:3"])
    dead = Sidekiq::DeadSet.new
    wait_until("the dead") { dead.size == 1 }
    job = dead.first
    equal("its error", [job["error_class"], job["error_message"], job["retry_count"]],
      ["ArgumentError", "attempt 3", 2])
    Sidekiq.redis { |redis| redis.set("tried:lost", 1000) }
    job.retry
    wait_until("once more") { notes.include?("lost:1001") }
    equal("no longer dead", [dead.size, Sidekiq::RetrySet.new.size], [0, 0])
    wait_until("the failures are counted") { Sidekiq::Stats.new.failed == 5 }
    forget
  end

  # A process that ends gives back what it could not finish: the other does it.
  def handover(child)
    Slow.perform_async
    Slow.perform_async
    started = -> { @other.with { |redis| redis.get("slow") }.to_i }
    wait_until("both run") { started.call == 2 }
    equal("it ends in order", stop(child), 0)
    Sidekiq.redis { |redis| redis.set("go", 1) }
    wait_until("both are done") { notes.size == 2 }
    equal("no more than that", [notes, Sidekiq::Queue.new.size], [%w[slow slow], 0])
    forget
  end

  # Strict order of queues, one thread.
  def order
    Sidekiq::Client.push_bulk("class" => Note, "queue" => "low", "args" => [["l1"], ["l2"]])
    Sidekiq::Client.push_bulk("class" => Note, "queue" => "high", "args" => [["h1"], ["h2"]])
    Note.set(queue: "low").perform_async("l3")
    equal("queues", Sidekiq::Queue.all.map { |queue| [queue.name, queue.size] }.sort,
      [["default", 0], ["high", 2], ["low", 3]])
    Sidekiq::Queue.new("low").find { |job| job.args == ["l2"] }.delete
    child = start(1, "-c", "1", "-q", "high", "-q", "low")
    wait_until("all") { notes.size == 4 }
    equal("in order", notes, %w[h1 h2 l1 l3])
    Note.set(queue: "unused").perform_async("never")
    Sidekiq::Queue.new("unused").clear
    equal("cleared", Sidekiq::Queue.all.map(&:name).sort, %w[default high low])
    equal("it ends in order", stop(child), 0)
  end

  def run
    Sidekiq.redis(&:flushdb)
    processes = [0, 1].map { |index| start(index, "-c", "5") }
    exactly_once
    times
    retries
    handover(processes[0])
    order
    equal("they end in order", stop(processes[1]), 0)
    puts "sidekiq: #{@count} checks"
  ensure
    kill
  end
end

Checks.new(ARGV[0], ARGV[1, 2]).run if $PROGRAM_NAME == __FILE__
