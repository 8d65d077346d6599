#include "jinja/template.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file/file.h"
#include "base/json/json.h"

namespace fathom::jinja {
namespace {

// The fifth of March 2026, two seconds past 9:07; NOW in tools/jinja/environment.py is the same.
std::tm fixed_time() {
  std::tm t = {};
  t.tm_year = 126;
  t.tm_mon = 2;
  t.tm_mday = 5;
  t.tm_hour = 9;
  t.tm_min = 7;
  t.tm_sec = 2;
  t.tm_wday = 4;
  t.tm_yday = 63;
  return t;
}

std::string render(std::string_view source, std::span<const Variable> variables = {}, const Limits& limits = {}) {
  return Template(source, "t", limits).render(variables, fixed_time).bytes;
}

Error error_of(std::string_view source, std::span<const Variable> variables = {}, const Limits& limits = {}) {
  try {
    const std::string text = render(source, variables, limits);
    ADD_FAILURE() << "no error, but: " << text.substr(0, 200);
  } catch (const Error& e) {
    return e;
  }
  return Error(ErrorKind::resource, "no error");
}

std::string repeated(std::string_view what, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += what;
  return out;
}

// The committed cases, or those of the file that FATHOM_JINJA_CASES names (tools/jinja/differential.py).
TEST(Jinja, RandomTemplatesGiveWhatJinja2Gives) {
  const char* other = std::getenv("FATHOM_JINJA_CASES");
  const std::filesystem::path path =
      other ? std::filesystem::path(other) : std::filesystem::path(FATHOM_GOLDEN_DIR) / "chat" / "differential.json";
  const json::value golden = parse_json(read_file(path), path.string());
  std::vector<Variable> variables;
  for (const auto& [name, value] : golden.at("variables").as_object())
    variables.emplace_back(std::string(std::string_view(name)), value_from_json(value, Origin::untrusted));
  int equal = 0, both_fail = 0, refused = 0, wrong = 0;
  for (const json::value& c : golden.at("cases").as_array()) {
    const auto source = json::value_to<std::string>(c.at(0));
    const bool fails = c.at(1).is_null();
    const std::string want = fails ? "an error" : json::value_to<std::string>(c.at(1));
    std::string got = "an error";
    try {
      got = render(source, variables);
      if (!fails && got == want) ++equal;
    } catch (const Error& e) {
      if (fails) ++both_fail;
      if (!fails && e.kind() == ErrorKind::unsupported) {
        ++refused;
        if (other) std::printf("refused: %s\n", e.what());
        continue;
      }
      if (!fails) got += std::string(": ") + e.what();
    }
    if (got == want) continue;
    if (++wrong <= 20) ADD_FAILURE() << "template: " << source << "\nwant: " << want << "\n got: " << got;
  }
  std::printf("%d equal, %d fail in both, %d refused by name, %d wrong\n", equal, both_fail, refused, wrong);
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(refused, (equal + both_fail) / 10);
}

TEST(Jinja, WhiteSpaceControlFollowsTransformers) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");  // trim_blocks, lstrip_blocks
  EXPECT_EQ(render("a \n {%- if true -%} \n b {%- endif %}"), "ab");
  EXPECT_EQ(render("a\n  {%+ if true +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(render("  {{ 1 }}\n{{- 2 -}} \n 3"), "  123");  // no trimming around {{ }} without a sign
  EXPECT_EQ(render("x {% if true %}y{% endif %}"), "x y");  // not first in its line
  EXPECT_EQ(render("{# a #}\n\nb{#- c -#} \n d"), "\nbd");
  EXPECT_EQ(render("a\r\nb\rc\n\n"), "a\nb\nc\n");  // newlines are made LF, one at the end is dropped
  EXPECT_EQ(render("{% raw %} {{ x }} {% endraw %}\nz"), " {{ x }} z");
}

TEST(Jinja, LoopsHaveTheirOwnVariablesAndNamespacesCrossThem) {
  EXPECT_EQ(render("{% set x = 0 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}"), "120");
  EXPECT_EQ(render("{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}"),
            "3");
  EXPECT_EQ(render("{% for i in [1, 2, 3] if i != 2 %}{{ loop.index0 }}{{ loop.last }}{% else %}none{% endfor %}"),
            "0False1True");
  EXPECT_EQ(render("{% for i in [] %}x{% else %}none{% endfor %}"), "none");
}

TEST(Jinja, MacrosSeeTheTemplateNotTheCaller) {
  EXPECT_EQ(render("{% set g = 1 %}{% macro f(a, b=2) %}{{ g }}{{ a }}{{ b }}{{ x is defined }}{% endmacro %}"
                   "{% for x in [0] %}{{ f(x) }}{% endfor %}"),
            "102False");
}

TEST(Jinja, SequencesMadeForOneFilterLiveAsLongAsItRuns) {
  EXPECT_EQ(render("{{ 'abc' | join('-') }}{{ 'ab' | list | join }}"), "a-b-cab");
}

TEST(Jinja, TheTimeIsThatOfTheCallersClock) {
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A') }}"),
            "05 Mar 2026|2026-03-05 09:07:02 064 Thursday");
  EXPECT_EQ(render("{{ strftime_now('%-d %B, 100 %% %I %p') }}"), "5 March, 100 % 09 AM");
  EXPECT_EQ(render("[{{ strftime_now('%z%Z') }}{{ strftime_now('') }}]"), "[]");  // Python's now() knows no zone
  EXPECT_EQ(render("{% if strftime_now is defined %}{{ strftime_now(format='%y') }}{% endif %}"), "26");
  EXPECT_EQ(render("{{ strftime_now('" + std::string(5000, 'x') + "%A') | length }}"), "5008");
}

TEST(Jinja, TheClockOfTheMachineIsTheDefault) {
  const std::string before = std::to_string(local_time().tm_year + 1900);
  const std::string year = Template("{{ strftime_now('%Y') }}", "t").render({}).bytes;
  EXPECT_GE(year, before);
  EXPECT_LE(year, std::to_string(local_time().tm_year + 1900));
}

TEST(Jinja, TitlesAreThoseOfJinjaAndOfPython) {
  EXPECT_EQ(render("{{ \"they're bill's FRIENDS\" | title }}"), "They're Bill's Friends");
  EXPECT_EQ(render("{{ \"they're bill's FRIENDS\".title() }}"), "They'Re Bill'S Friends");
  EXPECT_EQ(render("{{ 'a-b(c{d[e<f g\nh/i' | title }}|{{ 'a-b/c1d'.title() }}"), "A-B(C{D[E<F G\nH/i|A-B/C1D");
}

TEST(Jinja, WhatIsSafeEscapesWhatItIsAddedTo) {
  EXPECT_EQ(render("{{ '<a>' | safe + '<b>' }}|{{ '<a>' + ('<b>' | safe) }}|{{ '<a>' | safe ~ '<b>' }}"),
            "<a>&lt;b&gt;|&lt;a&gt;<b>|<a><b>");
  EXPECT_EQ(render("{{ '<\"\\'&' | e }}|{{ ('<' | e) | e }}|{{ {'a': '<'} | tojson | safe }}"),
            "&lt;&#34;&#39;&amp;|&lt;|{\"a\": \"<\"}");
}

TEST(Jinja, MacrosSeeWhatTheTemplateSetsBehindThem) {
  const Variable given[] = {{"x", Value(Text("given"))}};
  EXPECT_EQ(render("{% macro f(n) %}{{ g(n) if n }}{% endmacro %}{% macro g(n) %}{{ n }}{{ f(n - 1) }}{% endmacro %}"
                   "{{ f(3) }}"),
            "321");
  const std::string shows = "{% macro f() %}[{{ x }}]{% endmacro %}";
  EXPECT_EQ(render(shows + "{{ f() }}{% set x = 'own' %}{{ f() }}", given), "[][own]");
  EXPECT_EQ(render(shows + "{{ f() }}{% if true %}{% set x = 'own' %}{% endif %}{{ f() }}", given), "[given][own]");
  EXPECT_EQ(error_of("{% for i in [1] %}{{ x }}{% endfor %}{% set x = 1 %}").kind(), ErrorKind::unsupported);
}

TEST(Jinja, FloatsPrintAsPythonPrintsThem) {
  EXPECT_EQ(
      render("{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e22 * 1.5 }} {{ 7 / 2 }}"),
      "1.0 0.30000000000000004 1e+16 1000000000000000.0 0.0001 1e-05 1.5e+22 3.5");
}

TEST(Jinja, WhatIsOutsideTheSubsetIsRefusedByNameAndLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"\n{% include 'x' %}", "t line 2: not supported in chat templates: the tag 'include'"},
      {"{% call f() %}{% endcall %}", "t line 1: not supported in chat templates: the tag 'call'"},
      {"{{ 'a' | wordwrap }}", "t line 1: not supported in chat templates: the filter 'wordwrap'"},
      {"{{ 'a' is sameas 'a' }}", "t line 1: not supported in chat templates: the test 'sameas'"},
      {"a\n\n{{ 'a'.center(9) }}", "t line 3: not supported in chat templates: the method 'center' of a str"},
      {"{{ strftime_now('%f') }}", "t line 1: not supported in chat templates: the directive '%f' of 'strftime_now'"},
      {"{{ strftime_now('%9999Y') }}",
       "t line 1: not supported in chat templates: the directive '%9' of 'strftime_now'"},
      {"{{ strftime_now('%') }}", "t line 1: not supported in chat templates: the directive '%' of 'strftime_now'"},
      {"{{ '{:>9}'.format(1) }}", "t line 1: not supported in chat templates: the field ':>9' of 'format'"},
      {"{{ ('a' | safe).replace('a', 'b') }}",
       "t line 1: not supported in chat templates: 'replace' of what 'safe' or 'escape' gives"},
      {"{{ 2 ** 3 }}", "t line 1: not supported in chat templates: the operator '**'"},
      {"{{ '\\N{BULLET}' }}", "t line 1: not supported in chat templates: the escape '\\N' in a string"},
      {"{{ self }}", "t line 1: not supported in chat templates: the name 'self'"},
      {"{{ '\xC3\xA9' | upper }}",
       "t line 1: not supported in chat templates: upper, lower, title and their like work on ASCII text only"},
  };
  for (const auto& [source, message] : cases) {
    const Error e = error_of(source);
    EXPECT_EQ(e.kind(), ErrorKind::unsupported) << source;
    EXPECT_STREQ(e.what(), message);
  }
}

TEST(Jinja, MistakesAreNamedWithTheirLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"\n{{ x", "t line 2: the template ends inside a tag; '}}' is missing"},
      {"{% if a %}", "t line 1: the template ends where {% endif %} was expected"},
      {"{% endif %}", "t line 1: unknown tag 'endif'"},
      {"{{ }}", "t line 1: expected an expression, found '}}'"},
      {"{{ 'a }}", "t line 1: a string is not closed by '"},
      {"{{ (1] }}", "t line 1: unexpected ']'"},
      {"{{ a.b }}", "t line 1: 'a' is undefined"},
      {"{{ 'a' + 1 }}", "t line 1: '+' does not work between str and int"},
      {"{# x", "t line 1: a comment '{#' is not closed by '#}'"},
      {"{% break %}", "t line 1: 'break' outside of a loop"},
      {"{% for a, b in [1] %}{% endfor %}", "t line 1: a value of type int cannot be iterated over"},
  };
  for (const auto& [source, message] : cases) {
    const Error e = error_of(source);
    EXPECT_EQ(e.kind(), ErrorKind::bad_input) << source;
    EXPECT_STREQ(e.what(), message);
  }
  EXPECT_EQ(error_of("a\xFF").kind(), ErrorKind::bad_input);
}

TEST(Jinja, NothingRunsWithoutEnd) {
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  const Variable text{"text", Value(Text(std::string(1 << 20, 'a')))};
  const std::string sources[] = {
      loops,
      "{{ '-' * 10000000000 }}",
      "{{ 'ab' * 9223372036854775807 }}",
      "{{ [1] * 10000000000 }}",
      "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
      "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
      "{% set n = namespace(s=[]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
      "{% set n = namespace(s=[]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s == [n.s] }}",
      "{% set n = namespace(s=[]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s | tojson }}",
      "{% set n = namespace(s=[]) %}{% for i in range(99) %}{% set n.s = [n.s] %}{% endfor %}",
      "{{ text | replace('a', text) }}",
      "{{ text.split('a') | join(text) }}",
      "{% for i in range(9999) %}{{ text }}{% endfor %}",
      "{% for i in range(99999) %}{% if text + 'a' == text + 'b' %}{% endif %}{% endfor %}",
      "{% for i in range(99999) %}{% if text.find('ab') > 0 %}{% endif %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for a in range(99999) %}{% set x = text | length %}{% endfor %}",
      "{{ range(99999) | list | tojson(separators=(text, ':')) }}",
      "{{ text.rsplit('a', 1000000) | length }}",
      "{{ text | indent(1000) | indent(1000) }}{% for i in range(999) %}{{ (text ~ '\n') | indent(999) }}{% endfor %}",
      "{{ range(99999) | unique | list }}",
      "{% for i in range(9999) %}{{ '{}{}{}'.format(text, text, text) }}{% endfor %}",
      "{% for i in range(99999) %}{% set x = text | title %}{% endfor %}",
      "{{ 'a'.zfill(9223372036854775807) }}",
      "{% for i in range(99999) %}{{ strftime_now(text) }}{% endfor %}",
  };
  const Limits tenth = {.steps = Limits{}.steps / 10, .bytes = Limits{}.bytes / 10};  // to be quick under sanitizers
  for (const std::string& source : sources)
    EXPECT_EQ(error_of(source, std::span(&text, 1), tenth).kind(), ErrorKind::resource) << source;
  EXPECT_EQ(error_of(loops).kind(), ErrorKind::resource);
  EXPECT_EQ(error_of("{{ range(100001) }}").kind(), ErrorKind::bad_input);  // jinja2's sandbox stops there too
  EXPECT_EQ(error_of(std::string(300 << 10, ' ')).kind(), ErrorKind::resource);
}

TEST(Jinja, NestingAndChainsCannotExhaustTheStack) {
  const size_t n = 10000;
  for (const std::string& source :
       {"{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}", "{{ " + repeated("[", n) + repeated("]", n) + " }}",
        "{{ " + repeated("{'a':", n) + "1" + repeated("}", n) + " }}", "{{ " + repeated("not ", n) + "1 }}",
        "{{ " + repeated("-", n) + "1 }}", "{{ 1" + repeated(" + 1", n) + " }}", "{{ a" + repeated(".b", n) + " }}",
        "{{ a" + repeated("[0]", n) + " }}", "{{ a" + repeated("()", n) + " }}", "{{ 1" + repeated("|abs", n) + " }}",
        "{{ 1" + repeated(" if 1 else 1", n) + " }}", "{{ 1" + repeated(" or 1", n) + " }}",
        repeated("{% if 1 %}", n) + repeated("{% endif %}", n), repeated("{% for x in y %}", n)}) {
    const Error e = error_of(source);
    EXPECT_NE(e.kind(), ErrorKind::resource) << source.substr(0, 40) << ": " << e.what();
  }
  EXPECT_EQ(render("{{ 1" + repeated(" + 1", 190) + " }}"), "191");
  EXPECT_EQ(render("{{ " + repeated("(", 60) + "1" + repeated(")", 60) + " }}"), "1");
  // Many branches side by side are no nesting.
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"), "x");
}

TEST(Jinja, SearchIsLinearOnHostileText) {
  const Variable variables[] = {{"text", Value(Text(std::string(4 << 20, 'a')))},
                                {"what", Value(Text(std::string(1 << 20, 'a') + "b" + std::string(1 << 20, 'a')))}};
  EXPECT_EQ(
      render(
          "{{ what in text }}{{ text.find(what) }}{{ text.split(what) | length }}{{ text.replace(what, '') | length }}",
          variables),
      "False-114194304");
}

}  // namespace
}  // namespace fathom::jinja
