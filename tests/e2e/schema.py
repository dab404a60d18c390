"""As much of JSON Schema as docs/audit-schema.json uses: every line that a test sees is checked against it."""
import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}
KNOWN = {"$schema", "$id", "title", "description", "type", "oneOf", "$defs", "$ref", "enum", "required", "format",
         "additionalProperties", "properties", "items", "minimum", "maximum", "minLength", "maxLength", "maxItems", "minProperties",
         "pattern"}

with open(os.path.join(ROOT, "docs", "audit-schema.json"), encoding="utf-8") as file:
    SCHEMA = json.load(file)


def trouble(value, rule=SCHEMA, at="line"):
    """What is wrong with the value, or None."""
    unknown = set(rule) - KNOWN
    if unknown:
        return f"{at}: the schema uses {unknown}, which this reader does not know"
    if "$ref" in rule:
        return trouble(value, SCHEMA["$defs"][rule["$ref"].rsplit("/", 1)[1]], at)
    if "oneOf" in rule:
        found = [trouble(value, one, at) for one in rule["oneOf"]]
        return None if found.count(None) == 1 else f"{at}: {found}"
    kind = rule.get("type")
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int) or \
                not rule.get("minimum", value) <= value <= rule.get("maximum", value):
            return f"{at}: {value!r} is no {kind}, or out of bounds"
    elif kind is not None and not isinstance(value, TYPES[kind]):
        return f"{at}: {value!r} is no {kind}"
    if "enum" in rule and value not in rule["enum"]:
        return f"{at}: {value!r} is none of {rule['enum']}"
    if isinstance(value, str) and not rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", len(value)):
        return f"{at}: {len(value)} characters"
    if isinstance(value, dict):
        properties = rule.get("properties", {})
        missing = set(rule.get("required", ())) - set(value)
        extra = set(value) - set(properties) if rule.get("additionalProperties") is False else ()
        if len(value) < rule.get("minProperties", 0):
            return f"{at}: only {len(value)} properties"
        if missing or extra:
            return f"{at}: missing {missing}, not in the schema {extra}"
        for key, item in value.items():
            wrong = key in properties and trouble(item, properties[key], f"{at}.{key}")
            if wrong:
                return wrong
    for number, item in enumerate(value if isinstance(value, list) else ()):
        wrong = "items" in rule and trouble(item, rule["items"], f"{at}[{number}]")
        if wrong:
            return wrong
    return None
