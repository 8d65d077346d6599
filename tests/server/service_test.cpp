// A service under a service manager: what the manager is told, and when (G4, G6).
#include "server/service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <future>
#include <latch>

#include "http/client.h"
#include "http/server.h"
#include "server/api/openapi.h"
#include "web_page/page_files.h"

namespace fathom::server {
namespace {

using namespace std::chrono_literals;
using http::Client;
using http::eventually;

// The manager's end of its socket. It is bound by path, or in the abstract namespace for "@name".
class NotifySocket {
 public:
  explicit NotifySocket(std::string name) : name_(std::move(name)), fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    name_.copy(at.sun_path, sizeof at.sun_path - 1);
    if (name_[0] == '@') at.sun_path[0] = '\0';
    const size_t size = offsetof(sockaddr_un, sun_path) + name_.size();
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), static_cast<socklen_t>(size)), 0) << std::strerror(errno);
  }
  ~NotifySocket() {
    ::close(fd_);
    if (name_[0] == '/') ::unlink(name_.c_str());
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  const std::string& name() const { return name_; }

  // The next datagram; empty: none came in that time.
  std::string next(std::chrono::milliseconds time) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(time.count())) <= 0) return "";
    char text[4096];
    const ssize_t n = ::recv(fd_, text, sizeof text, 0);
    return {text, static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }
  // The next one that begins so, others left out.
  std::string wait_for(std::string_view begin) {
    for (int i = 0; i < 1000; ++i)
      if (std::string text = next(10s); text.empty() || text.starts_with(begin)) return text;
    return "";
  }
  int count(std::string_view wanted, std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    int n = 0;
    while (std::chrono::steady_clock::now() < until) n += next(5ms) == wanted ? 1 : 0;
    return n;
  }

 private:
  std::string name_;
  int fd_;
};

std::string unique(const char* name) { return fmt::format("{}-{}", name, ::getpid()); }

// The bundled model behind a port, run by a thread of its own.
struct RunningService {
  explicit RunningService(ServiceManager m) : manager(std::move(m)), service(models(), options()) {
    signal = std::async(std::launch::async, [this] { return service.run_until_signal(signals, manager); });
  }
  static std::vector<NamedModel> models() {
    std::vector<NamedModel> out;
    out.push_back({"bundled", load_model(std::filesystem::path(FATHOM_GOLDEN_DIR) / "../../models/bundled.gguf")});
    return out;
  }
  static ServiceOptions options() {
    ServiceOptions o;
    o.model.engine.threads = 1;
    o.model.engine.engine.engine.numerics = Numerics::quantised();
    o.watchdog = 100ms;
    o.log.path = "/dev/null";
    return o;
  }
  int ready_status() { return Client(service.http().port()).ask(http::get("/ready")).status; }

  ServiceSignals signals;  // blocked here and in the threads that are started from here
  ServiceManager manager;
  Service service;
  std::future<int> signal;
};

TEST(Service, TellsItsManagerFromItsStartToItsEnd) {
  NotifySocket socket((std::filesystem::temp_directory_path() / unique("fathom-notify")).string());
  RunningService s(ServiceManager(socket.name(), 0us));
  EXPECT_EQ(socket.wait_for("READY=1"), "READY=1\nSTATUS=serving bundled at " + s.service.address());
  EXPECT_EQ(s.service.models().first().engine_snapshot().loads, 1) << "ready before the model was";
  ::kill(::getpid(), SIGHUP);
  EXPECT_TRUE(socket.wait_for("RELOADING=1").starts_with("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_NE(socket.wait_for("READY=1"), "");
  ::kill(::getpid(), SIGTERM);
  EXPECT_NE(socket.wait_for("STOPPING=1"), "");
  EXPECT_EQ(s.signal.get(), SIGTERM);
  EXPECT_EQ(socket.count("WATCHDOG=1", 20ms), 0) << "no watchdog was asked for";
}

// G4: /ready says no, and the manager's watchdog hears nothing, until the engine goes on.
TEST(Service, AnEngineThatIsStuckIsSeen) {
  NotifySocket socket("@" + unique("fathom-notify"));
  RunningService s(ServiceManager(socket.name(), 200ms));
  ASSERT_NE(socket.wait_for("READY=1"), "");
  EXPECT_GE(socket.count("WATCHDOG=1", 500ms), 3) << "an idle engine is alive";
  EXPECT_EQ(s.ready_status(), 200);

  std::latch goes_on(1), is_stuck(1);
  std::promise<void> ended;
  ScheduledRequest request;
  request.prompt = {1, 2, 3};
  request.generate.max_tokens = 2;
  request.generate.n_usable_ids = 100;
  request.events.on_token = [&, is_first = true](const TokenScore&) mutable {
    if (std::exchange(is_first, false)) {
      is_stuck.count_down();
      goes_on.wait();
    }
    return true;
  };
  request.events.on_end = [&](const Ended&) { ended.set_value(); };
  std::vector<ScheduledRequest> requests;
  requests.push_back(std::move(request));
  std::vector<EngineThread::Ticket> tickets;
  ASSERT_EQ(s.service.models().first().engine().submit(std::move(requests), tickets), EngineThread::Submitted::yes);
  is_stuck.wait();
  EXPECT_TRUE(eventually([&] { return s.ready_status() == 503; }));
  socket.count("WATCHDOG=1", 150ms);  // what was on its way
  EXPECT_EQ(socket.count("WATCHDOG=1", 500ms), 0) << "a stuck engine is not alive";
  EXPECT_EQ(Client(s.service.http().port()).ask(http::get("/live")).status, 200);
  goes_on.count_down();
  ended.get_future().wait();
  EXPECT_EQ(s.ready_status(), 200);
  EXPECT_GE(socket.count("WATCHDOG=1", 500ms), 3);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(s.signal.get(), SIGTERM);
}

// The document of the API lists every route but the files of the page, and who may ask.
TEST(Service, EveryRouteIsInTheDocument) {
  ServiceOptions options = RunningService::options();
  options.model.engine.load_at_once = false;
  const Service service(RunningService::models(), options);
  const json::object paths = openapi_document().at("paths").as_object();
  size_t n = 0;
  for (const http::Route& route : service.http().router().routes()) {
    if (std::any_of(page_files().begin(), page_files().end(),
                    [&](const PageFile& f) { return f.path == route.pattern; }))
      continue;
    std::string path = route.pattern, method = route.method;
    std::erase(path, '*');
    std::transform(method.begin(), method.end(), method.begin(), [](char c) { return static_cast<char>(c | 0x20); });
    ASSERT_TRUE(paths.contains(path)) << path;
    const json::object& operations = paths.at(path).as_object();
    ASSERT_TRUE(operations.contains(method)) << method << ' ' << path;
    EXPECT_EQ(operations.at(method).as_object().contains("security"), route.access == http::Access::open) << path;
    ++n;
  }
  EXPECT_EQ(n, api_routes().size());
}

TEST(ServiceManager, IsOfTheEnvironmentOrNone) {
  NotifySocket socket("@" + unique("fathom-environment"));
  ::unsetenv("NOTIFY_SOCKET");
  ServiceManager::of_environment().stopping();  // told to nobody
  ::setenv("NOTIFY_SOCKET", socket.name().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "3000000", 1);
  EXPECT_EQ(ServiceManager::of_environment().watchdog(), 3s);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid() + 1).c_str(), 1);
  EXPECT_EQ(ServiceManager::of_environment().watchdog(), 0s) << "another process is watched";
  ServiceManager::of_environment().status("here");
  EXPECT_EQ(socket.next(1s), "STATUS=here");
  for (const char* name : {"relative", "/", "@", "/nonexistent/socket"}) {
    ::setenv("NOTIFY_SOCKET", name, 1);
    EXPECT_THROW(ServiceManager::of_environment(), Error) << name;
  }
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
}

}  // namespace
}  // namespace fathom::server
