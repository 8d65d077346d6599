// Filters that stand in files of their own; their names are in the table of jinja_builtins.cpp.
#pragma once
#include <ctime>

#include "jinja/builtins.h"

namespace fathom::jinja {

// jinja_text_filters.cpp
Value title_filter(Meter& meter, const Value& x, const Arguments& args);  // capitals after white space and - ( { [ <
Value indent_filter(Meter& meter, const Value& x, const Arguments& args);
Value safe_filter(Meter& meter, const Value& x, const Arguments& args);
Value escape_filter(Meter& meter, const Value& x, const Arguments& args);

// Python's str.format with the fields {}, {0} and {name}; a field with a conversion or format is refused.
Value format_method(Meter& meter, const Text& text, const Arguments& args);
// datetime.strftime of a time without zone, in the C locale. Directives of which Python's meaning is not the C
// library's are refused.
Value format_time(Meter& meter, const Text& format, const std::tm& time);

// jinja_sequence_filters.cpp
Value sort_filter(Meter& meter, const Value& x, const Arguments& args);
Value dictsort_filter(Meter& meter, const Value& x, const Arguments& args);
Value unique_filter(Meter& meter, const Value& x, const Arguments& args);
Value min_filter(Meter& meter, const Value& x, const Arguments& args);
Value max_filter(Meter& meter, const Value& x, const Arguments& args);
Value sum_filter(Meter& meter, const Value& x, const Arguments& args);

// "a.b.0" of a value, as the filters with an attribute read it.
Value path_of(Meter& meter, Value x, const Value& path);
// The argument, or a Fault that names the function.
const Text& text_argument(const Arguments& args, const Value& value);
int64_t integer_argument(const Arguments& args, const Value& value);

}  // namespace fathom::jinja
