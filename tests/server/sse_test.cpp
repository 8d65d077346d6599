// An answer as events, to a reader that keeps to the letter of the standard.
#include "server/sse.h"

#include <gtest/gtest.h>

#include "support/strict_event_reader.h"

namespace fathom::server {
namespace {

using fathom::testing::read_events_strictly;
using fathom::testing::ServerSentEvent;

TEST(ServerSentEvents, AreReadAsTheyWereSent) {
  const std::string hostile[] = {"",
                                 "a",
                                 "\n\ndata: x\n\n",
                                 "\r\rdata: [DONE]\r\r",
                                 "event: x\r\n",
                                 "\xEF\xBB\xBF",
                                 std::string(1, '\0'),
                                 "\xE2\x80\xA8\xE2\x80\xA9\xC2\x85",
                                 ": not a comment",
                                 std::string(1 << 20, ' ')};
  std::string stream = ": keep-alive\n\n";
  std::vector<ServerSentEvent> sent;
  for (const std::string& text : hostile)
    for (const char* name : {"", "message_start"}) {
      const json::value event = json::object{{"text", text}, {text, 1}};
      stream += sse_event(json::serialize(event), name) + ": keep-alive\n\n";
      sent.push_back({name, json::serialize(event)});
    }
  stream += sse_event("[DONE]");
  sent.push_back({"", "[DONE]"});
  EXPECT_EQ(read_events_strictly(stream), sent);
}

}  // namespace
}  // namespace fathom::server
