"""The document of `fathom serve --openapi`, and whether requests and answers are as it says. JSON schemas in the subset that the document uses: another keyword is a
fault, as it would check nothing."""
import json
import re
import urllib.parse

SAYS_NOTHING = {"description"}
ENDS = 500
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_kind(value, kind):
    if kind in ("integer", "number"):  # 16.0 is an integer; NaN and infinity, which Python reads, are no numbers
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf") and (kind == "number" or value == int(value))
    return isinstance(value, KINDS[kind])


class Document:
    def __init__(self, text):
        self.root = json.loads(text)
        self.seen = set()  # (operation, "answer" | "stream" | "error")
        self.faults = self.check_itself()

    def operations(self):
        return {(method.upper(), path): o for path, methods in self.root["paths"].items() for method, o in methods.items()}

    def check_itself(self):
        faults = [] if self.root["openapi"].startswith("3.1") and self.root["info"]["version"] else ["no OpenAPI 3.1"]
        used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(self.root)))
        named = set(self.root["components"]["schemas"])
        if used != named:
            faults.append(f"schemas that are used and not there, or the other way round: {used ^ named}")
        for (method, path), o in self.operations().items():
            names = {p["name"] for p in o.get("parameters", []) if p["in"] == "path"}
            if names != set(re.findall(r"{(\w+)}", path)) or not o["summary"].endswith(".") or "200" not in o["responses"]:
                faults.append(f"{method} {path} is not whole")
        return faults

    def errors(self, schema, value, where="$"):
        """Why `value` is not as the schema says, as sentences."""
        if "$ref" in schema:
            schema = self.root["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
        found = []
        for keyword, wanted in schema.items():
            if keyword == "type":
                kinds = wanted if isinstance(wanted, list) else [wanted]
                if not any(is_kind(value, k) for k in kinds):
                    found.append(f"{where} is {value!r:.60}, not {kinds}")
            elif keyword == "const":
                found += [f"{where} is {value!r:.60}, not {wanted!r}"] if value != wanted else []
            elif keyword == "enum":
                found += [f"{where} is {value!r:.60}, none of {wanted}"] if value not in wanted else []
            elif keyword in ("minimum", "maximum"):
                if is_kind(value, "number") and (value < wanted if keyword == "minimum" else value > wanted):
                    found.append(f"{where} is {value}, beyond the {keyword} {wanted}")
            elif keyword == "maxItems":
                found += [f"{where} has {len(value)} entries"] if isinstance(value, list) and len(value) > wanted else []
            elif keyword == "items":
                entries = value if isinstance(value, list) else []
                n = len(entries)  # of a million, the ends
                for i in range(n) if n < 2 * ENDS else (*range(ENDS), *range(n - ENDS, n)):
                    found += self.errors(wanted, entries[i], f"{where}[{i}]")
            elif keyword == "anyOf":
                each = [self.errors(s, value, where) for s in wanted]
                found += [] if [] in each else [f"{where} is none of the forms: {min(each, key=len)}"]
            elif keyword == "required":
                found += [f"{where} has no {name}" for name in wanted if isinstance(value, dict) and name not in value]
            elif keyword in ("properties", "additionalProperties"):
                pass  # below
            elif keyword not in SAYS_NOTHING:
                found.append(f"a schema has the keyword {keyword}, which this test does not know")
        if isinstance(value, dict):
            known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            for name, v in value.items():
                if name in known:
                    found += self.errors(known[name], v, f"{where}.{name}")
                elif others is False:
                    found.append(f"{where}.{name:.60} is not listed")
                elif others is not True:
                    found += self.errors(others, v, f"{where}.{name}")
        return found

    def find(self, method, target):
        path = urllib.parse.unquote(target.split("?")[0])
        fitting = [o for o in self.operations() if o[0] == method and re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(o[1])), path)]
        return min(fitting, key=lambda o: o[1].count("{"), default=None)

    def see(self, method, target, body, status, content_type, text):
        """One request and its answer: what is not as the document says is added to faults."""
        def fault(what):
            self.faults.append(f"{method} {target} {(body or b'')[:200]} -> {status}: {what}")

        operation = self.find(method, target)
        if operation is None:
            if status < 400:
                fault("a route that is not listed")
            return
        listed = self.operations()[operation]
        if body is not None and "requestBody" in listed:
            try:
                value = json.loads(body)
            except (ValueError, RecursionError):
                value = None
            errors = self.errors(listed["requestBody"]["content"]["application/json"]["schema"], value)
            if errors and status < 400:
                fault(f"the request was answered, and is not as listed: {errors[:3]}")
        kind, _, _ = content_type.partition(";")
        response = listed["responses"]["200" if status == 200 else "default"]["content"]
        if status == 304:
            return
        if kind not in response:
            fault(f"content of type {kind}")
        elif kind == "application/json":
            self.seen.add((operation, "answer" if status == 200 else "error"))
            if errors := self.errors(response[kind]["schema"], json.loads(text)):
                fault(errors[:3])
        elif kind == "text/event-stream":
            self.seen.add((operation, "stream"))
            for event in re.findall(r"^data: (.*)$", text.decode(), re.M):
                if event != "[DONE]" and (errors := self.errors(response[kind]["x-event-data"], json.loads(event))):
                    fault(errors[:3])
        else:
            self.seen.add((operation, "answer"))

    def unseen(self):
        """What the document lists and no request showed."""
        wanted = set()
        for operation, o in self.operations().items():
            wanted.add((operation, "answer"))
            if "requestBody" in o:
                wanted.add((operation, "error"))
            if "text/event-stream" in o["responses"]["200"]["content"]:
                wanted.add((operation, "stream"))
        return sorted(wanted - self.seen)
