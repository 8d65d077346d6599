// Between the two halves of build_network: the states and edges as they are made, before they are sorted and trimmed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "grammar/expression.h"
#include "grammar/network.h"

namespace fathom::grammar {

enum class EdgeKind : uint8_t { byte, jump, call };

struct RawEdge {
  uint32_t from, to;  // call: `to` is where it goes on
  EdgeKind kind;
  uint8_t first = 0, last = 0;  // byte
  uint32_t rule = 0;            // call
};

struct RawRule {
  std::string name;
  uint32_t start, end;
};

struct RawNetwork {
  uint32_t n_states = 0;
  std::vector<RawEdge> edges;
  std::vector<RawRule> rules;
};

RawNetwork lay_out(const Expressions& expressions);           // network_layout.cpp
Network finish_network(RawNetwork raw, uint32_t start_rule);  // network.cpp

}  // namespace fathom::grammar
