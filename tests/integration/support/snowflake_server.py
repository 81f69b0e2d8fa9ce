"""A Snowflake for the tests: unmodified fakesnows, and a proxy before them.

    python snowflake_server.py PORT [NUMBER]

A fakesnow works on one statement at a time, so there are several of them (by default as many as there
are cores, two to four); each database is kept by one, and no statement names two databases.

The proxy does what the driver of daygrain cannot do without:

- fakesnow answers queries in Arrow; the proxy turns that into the rows of texts that the server's
  JSON replies hold;
- fakesnow's errors have no query id; the proxy adds one;
- fakesnow refuses `alter session`, `grant`, `revoke` and `show grants`; the proxy says that they are
  done, and shows no grants. That they mean what they should is for a real account to show.

- fakesnow replaces no table by a clone: the proxy writes a copy;
- fakesnow has no `hash_agg`, no `create sequence ... order`, and finds no sequence by its full name:
  the proxy writes a sum of hashes, leaves `order` out, and writes `nextval('...')`;
- of two transactions that change the rows of one table, the server lets the second wait until the
  first has ended, and fakesnow fails; the proxy lets it wait. One that keeps another waiting and does
  nothing for three seconds is rolled back, as the server does after five minutes; the session then
  has no transaction, which `current_transaction()` tells.

- fakesnow knows no dynamic tables: each is a table that is made again of its query when it is
  refreshed, which nothing does by itself, and the proxy keeps what `show dynamic tables` shows. One that
  is to be filled on schedule is filled at once;

- fakesnow copies files one after the other, knows few options of CSV files, and says neither the file
  nor the place of a value that it cannot read: the proxy asks for one file at a time, leaves those
  options out, and looks for the value in the file;

It exchanges refresh tokens, as the account's own server of tokens does.

It also injects faults, which a session asks for by the parameter `DAYGRAIN_FAULTS` of its login: a
JSON list of `{"on": part of the statement or "login", "do": what, "times": how often, "after": part of
the statement before}`, the last two of which may lack. Counts are
kept by database, so a test that has a database of its own has faults of its own. What there is:

- `429`, `503`: a reply of that status; the statement is not run
- `drop`: the connection is closed; the statement is not run
- `lose`: the statement is run, and the connection is closed instead of a reply
- `lose-session`: the same, and the session's token is no longer valid
- `async`: a reply with code 333334; the result comes from where it points
- `expire`: the session's token is no longer valid, for this statement and all that follow
- `expire-async`: as `async`, and the token is no longer valid when the result is asked for
- `slow`: the statement waits until it is cancelled, for a minute at most

`GET /log?database=NAME` gives what was received for a database, one JSON object a line.
"""

import atexit
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa

EXPIRED = {"data": None, "code": "390112", "message": "Your session has expired. Please login again.", "success": False}
CANCELLED = ("000604", "57014", "SQL execution canceled")

# What fakesnow refuses, and a server does.
UNKNOWN = re.compile(r"\s*(alter\s+session|grant|revoke|show\s+grants)\b", re.IGNORECASE)

lock = threading.Lock()
sessions = {}  # token -> {"database", "faults", "alive"}
counts = {}  # (database, index of the fault) -> how often it happened
log = []  # what was received
results = {}  # query id -> the reply, or None while it runs
aborted = {}  # request id -> an event


def text(kind, scale, value):
    """A value as the texts of a JSON reply."""
    if value is None or (isinstance(value, dict) and value.get("epoch", 0) is None):
        return None
    if kind == "boolean":
        return "1" if value else "0"
    if kind == "date":
        return str((value - type(value)(1970, 1, 1)).days)
    if kind == "time":
        return f"{Decimal(value) / 1_000_000_000:.9f}"
    if kind.startswith("timestamp"):
        seconds = f"{Decimal(value['epoch']) + Decimal(value['fraction']) / 1_000_000_000:.9f}"
        return f"{seconds} {value['timezone']}" if kind == "timestamp_tz" else seconds
    if kind == "binary":
        return value.hex().upper()
    if kind == "real":
        return repr(float(value))
    if kind == "fixed" and isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, str) else str(value)


def translated(reply):
    """The reply of fakesnow as the server would give it in JSON."""
    data = reply.get("data")
    if data is None:
        return reply
    data.setdefault("queryId", str(uuid.uuid4()))
    if data.get("queryResultFormat") != "arrow":
        return reply
    encoded = data.pop("rowsetBase64", "")
    rows = []
    if encoded:
        table = pa.ipc.open_stream(base64.b64decode(encoded)).read_all()
        columns = [
            [text(kind["type"].lower(), kind.get("scale"), value) for value in column.to_pylist()]
            for kind, column in zip(data["rowtype"], table.columns)
        ]
        rows = [list(row) for row in zip(*columns)]
    data.update(queryResultFormat="json", rowset=rows, returned=len(rows), total=len(rows))
    return reply


def done(*rows):
    """The reply to a statement that gives these rows of one text."""
    kind = {"name": "status", "type": "text", "nullable": True, "length": 100, "scale": None, "precision": None}
    return {
        "data": {"queryId": str(uuid.uuid4()), "rowtype": [kind], "rowset": list(rows), "returned": len(rows), "total": len(rows), "queryResultFormat": "json"},
        "code": None, "message": None, "success": True,
    }


class Fakesnow:
    """A fakesnow on a port that it chooses, once it answers."""

    def __init__(self):
        command = [sys.executable, "-u", "-m", "fakesnow", "-s"]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.port = None
        self.used = {}  # database -> when it was last used

    def wait(self):
        for line in self.child.stdout:
            if "Uvicorn running on" in line:
                address = line.split("http://")[1].split(" ")[0]
                self.port = int(address.rsplit(":", 1)[1])
                break
            sys.stderr.write(line)
        else:
            raise SystemExit("fakesnow did not start")
        # Its log is read so that it never waits for a reader.
        threading.Thread(target=lambda: [None for _ in self.child.stdout], daemon=True).start()

    def load(self):
        """How many databases are at work, and how many there are."""
        now = time.monotonic()
        return sum(now - last < 5 for last in self.used.values()), len(self.used)


def home_of(database):
    """The fakesnow that keeps a database; a new one goes to that which has the least to do."""
    name = database.lower()
    with lock:
        home = next((home for home in fakesnows if name in home.used), None) or min(fakesnows, key=Fakesnow.load)
        home.used[name] = time.monotonic()
    return home


def forward(database, path, headers, body):
    """Asks the fakesnow that keeps a database."""
    connection = http.client.HTTPConnection("127.0.0.1", home_of(database).port, timeout=600)
    kept = {name: value for name, value in headers.items() if name.lower() in ("authorization", "content-type", "accept")}
    connection.request("POST", path, body, kept)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def fault_for(database, faults, what, before=""):
    """The fault that this statement meets, if any; counts it. `before` is the session's last one."""
    with lock:
        for index, fault in enumerate(faults):
            key = (database, index)
            if fault.get("after", "") not in before:
                continue
            if fault["on"] in what and counts.get(key, 0) < fault.get("times", 1):
                counts[key] = counts.get(key, 0) + 1
                return fault["do"]
    return None


CHANGES = re.compile(r"\s*(?:update|delete\s+from|merge\s+into|insert\s+overwrite\s+into|truncate\s+table)\s+([^\s(;]+)", re.IGNORECASE)
ENDS = re.compile(r"\s*(commit|rollback)\b", re.IGNORECASE)
BEGINS = re.compile(r"\s*begin\b", re.IGNORECASE)


MADE = re.compile(r"create\s+(?P<replace>or\s+replace\s+)?(?:transient\s+)?dynamic\s+table\s+(?P<name>\S+)\s+(?P<settings>.*?)\bas\s*\((?P<query>.*)\)\s*;?\s*$", re.IGNORECASE | re.DOTALL)
ALTERED = re.compile(r"alter\s+dynamic\s+table\s+(?P<name>\S+)\s+(?P<action>.*)$", re.IGNORECASE | re.DOTALL)
DROPPED = re.compile(r"drop\s+dynamic\s+table\s+(?:if\s+exists\s+)?(?P<name>\S+)", re.IGNORECASE)
SHOWN = re.compile(r"show\s+dynamic\s+tables\s+like\s+'(?P<like>.*)'\s+in\s+schema\s+(?P<schema>\S+)", re.IGNORECASE)
SETTING = re.compile(r"(\w+)\s*=\s*('[^']*'|\S+)")

# (database, schema, name) -> what `show dynamic tables` shows, and the query
dynamic_tables = {}


def stored(name):
    """The parts of a name as the server keeps them."""
    parts = re.findall(r'"(?:[^"]|"")*"|[^".]+', name)
    return tuple(part[1:-1].replace('""', '"') if part.startswith('"') else part.upper() for part in parts)


def settings_of(text):
    """What is set by `name = value`: values in quotes as they are, others as the server keeps names."""
    found = {key.lower(): value for key, value in SETTING.findall(text)}
    return {key: value[1:-1] if value.startswith("'") else value.upper() for key, value in found.items()}


def dynamic(sql):
    """What fakesnow is to do for a statement about a dynamic table; None for any other."""
    made = MADE.match(sql.strip())
    if made:
        key = stored(made["name"])
        if key in dynamic_tables and not made["replace"]:
            return f"create table {made['name']} (a int)"
        row = {"target_lag": None, "refresh_mode": "INCREMENTAL", "scheduler": "ENABLE", "cluster_by": "", "immutable_where": None}
        row |= {"text": sql, "query": made["query"]} | settings_of(made["settings"])
        row["refresh_mode"] = "INCREMENTAL" if row["refresh_mode"] == "AUTO" else row["refresh_mode"]
        row["target_lag"] = row["target_lag"] and row["target_lag"].replace("downstream", "DOWNSTREAM")
        keys = re.search(r"cluster by (\([^)]*\))", made["settings"])
        row["cluster_by"] = "LINEAR" + keys[1] if keys else ""
        immutable = re.search(r"(immutable where \(.*\))", made["settings"])
        row["immutable_where"] = immutable[1].replace("immutable where", "IMMUTABLE WHERE") if immutable else None
        dynamic_tables[key] = row
        return f"create {made['replace'] or ''}table {made['name']} as {made['query']}"
    altered = ALTERED.match(sql.strip())
    if altered:
        row = dynamic_tables[stored(altered["name"])]
        action = altered["action"].strip()
        if action.lower() == "refresh":
            return f"create or replace table {altered['name']} as {row['query']}"
        if action.lower().startswith("cluster by"):
            row["cluster_by"] = "LINEAR" + action[len("cluster by "):]
        elif action.lower().startswith("set immutable where"):
            row["immutable_where"] = "IMMUTABLE WHERE" + action[len("set immutable where"):]
        elif action.lower().startswith("set "):
            row.update(settings_of(action))
        return "select 'Statement executed successfully.' as status"
    dropped = DROPPED.match(sql.strip())
    if dropped:
        dynamic_tables.pop(stored(dropped["name"]), None)
        return f"drop table if exists {dropped['name']}"
    return None


def shown_dynamic_tables(sql):
    """The reply to `show dynamic tables`; None for any other statement."""
    shown = SHOWN.match(sql.strip())
    if not shown:
        return None
    schema = stored(shown["schema"])
    like = re.escape(shown["like"]).replace("%", ".*").replace("_", ".")
    columns = ["name", "database_name", "schema_name", "cluster_by", "target_lag", "refresh_mode", "warehouse", "initialization_warehouse", "text", "scheduler", "immutable_where"]
    rows = []
    for (database, of, name), row in dynamic_tables.items():
        if (database, of) == schema and re.fullmatch(like, name, re.IGNORECASE):
            row = row | {"name": name, "database_name": database, "schema_name": of}
            rows.append([row.get(column) for column in columns])
    reply = done(*rows)
    kind = reply["data"]["rowtype"][0]
    reply["data"]["rowtype"] = [kind | {"name": column} for column in columns]
    return reply


def with_dynamic_tables(reply):
    """The reply to `show objects`, which says which tables are dynamic."""
    data = reply["data"] or {}
    names = [kind["name"].lower() for kind in data.get("rowtype") or []]
    if "is_dynamic" not in names:
        return reply
    at = [names.index(name) for name in ("database_name", "schema_name", "name", "is_dynamic")]
    for row in data["rowset"]:
        if tuple(row[index] for index in at[:3]) in dynamic_tables:
            row[at[3]] = "Y"
    return reply


COPY = re.compile(r"(?P<head>copy into .*?\nfiles = )\((?P<files>.*)\)(?P<tail>\nfile_format = .*)$", re.DOTALL)
TEXT = re.compile(r"'(?:[^'\\\\]|\\\\.|'')*'")
LEFT_OUT = re.compile(r"\n *(?:error_on_column_count_mismatch|skip_blank_lines|encoding|escape) = \S+")
STAGE = re.compile(r"create (?:or replace )?stage (?P<name>\S+) url ?= ?'file://(?P<url>[^']*)'", re.IGNORECASE)
stages = {}  # (database, name) -> its folder


def plain(literal):
    """The text of a literal."""
    return re.sub(r"\\\\(.)|''", lambda found: found[1] or "'", literal[1:-1])


def place_of(database, sql, literal, message):
    """The server's words of a value that it cannot read: which, and where it is."""
    wrong = re.search(r"[Cc]ould not convert string '?\"?([^'\"]*)", message)
    stage, _, folder = plain(re.search(r"\nfrom ('.*')", sql)[1])[1:].partition("/")
    name = plain(literal)
    if not wrong or (database, stage.lower()) not in stages:
        return message
    value = wrong[1]
    with open(f"{stages[database, stage.lower()]}/{folder}{name}", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            values = line.rstrip("\n").split(",")
            if value in values:
                at = values.index(value)
                return (
                    f"Numeric value '{value}' is not recognized\n  File '{folder}{name}', line {number}, "
                    f"character {len(','.join(values[:at])) + bool(at) + 1}\n  Row {number - 1}, column \"STAGED\"[{at + 1}]\n"
                    "  If you would like to continue loading when an error is encountered, use other values"
                )
    return message


def understood(body):
    """The request, in words that fakesnow understands."""
    asked = json.loads(body)
    sql = dynamic(asked["sqlText"]) or asked["sqlText"]
    sql = re.sub(r"^comment on dynamic table", "comment on table", sql)
    sql = re.sub(r"hash_agg\(([^()]*)\)", r"sum(hash(\1) % 1000000007)", sql)
    sql = re.sub(r"(create sequence .*) order$", r"\1", sql)
    sql = re.sub(r"((?:\w+\.)+\w+)\.nextval\b", r"nextval('\1')", sql)
    sql = re.sub(r"^(create or replace .*) clone (\S+)(?: copy grants)?$", r"\1 as select * from \2", sql)
    if sql != asked["sqlText"]:
        asked["sqlText"] = sql
        return json.dumps(asked).encode()
    return body


class TableLocks:
    """The locks of tables whose rows are changed, each held until its transaction ends."""

    def __init__(self):
        self.changed = threading.Condition()
        self.held = {}  # table -> token

    def take(self, token, table, seconds):
        until = time.monotonic() + seconds
        while True:
            with self.changed:
                owner = self.held.setdefault(table, token)
                if owner == token:
                    return True
                if time.monotonic() >= until:
                    return False
                self.changed.wait(0.2)
            left = sessions[owner]
            if not left["busy"] and time.monotonic() - left["last"] > 3:
                end_for(owner)

    def free(self, token):
        with self.changed:
            for table in [table for table, owner in self.held.items() if owner == token]:
                del self.held[table]
            self.changed.notify_all()


locks = TableLocks()


def end_for(token):
    """Rolls back the transaction of a session that is left behind."""
    body = json.dumps({"sqlText": "rollback"}).encode()
    headers = {"Authorization": f'Snowflake Token="{token}"', "Content-Type": "application/json"}
    session = sessions[token]
    forward(session["database"], f"/queries/v1/query-request?requestId={uuid.uuid4()}", headers, body)
    session["begun"] = False
    locks.free(token)


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, value):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def drop(self):
        self.close_connection = True
        self.connection.close()

    def token(self):
        return (self.headers.get("Authorization") or "")[len('Snowflake Token="') : -1]

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/log":
            database = urllib.parse.parse_qs(url.query)["database"][0].lower()
            with lock:
                lines = [json.dumps(entry) for entry in log if entry["database"].lower() == database]
            return self.reply(200, "\n".join(lines).encode())
        session = sessions.get(self.token())
        if session is None or not session["alive"]:
            return self.reply(200, EXPIRED)
        query_id = url.path.split("/")[2]
        while results[query_id] is None:
            time.sleep(0.05)
        return self.reply(200, results[query_id])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/oauth/token-request":
            return self.exchange(urllib.parse.parse_qs(body.decode()))
        if url.path == "/session/v1/login-request":
            return self.login(json.loads(body), query, body)
        if url.path == "/queries/v1/abort-request":
            wanted = json.loads(body)["requestId"]
            with lock:
                aborted.setdefault(wanted, threading.Event()).set()
            return self.reply(200, {"data": None, "code": None, "message": None, "success": True})
        if url.path == "/queries/v1/query-request":
            return self.statement(json.loads(body)["sqlText"], query["requestId"][0], body)
        database = sessions.get(self.token(), {}).get("database", "")
        status, content = forward(database, self.path, self.headers, body)
        return self.reply(status, content)

    def exchange(self, asked):
        """Gives an access token for the refresh token `refresh NAME` of the client `client`, whose
        first request for a name meets an answer that is no JSON."""
        client = base64.b64encode(b"client:secret").decode()
        name = asked.get("refresh_token", [""])[0]
        if self.headers.get("Authorization") != f"Basic {client}" or asked.get("grant_type") != ["refresh_token"]:
            return self.reply(401, {"error": "invalid_client", "message": "This is an invalid client."})
        if not name.startswith("refresh "):
            return self.reply(400, {"error": "invalid_grant", "message": "This is an invalid refresh token."})
        with lock:
            counts[name] = number = counts.get(name, 0) + 1
        if number == 1:
            return self.reply(503, b"not now")
        return self.reply(200, {"access_token": f"access {number}", "token_type": "Bearer", "expires_in": 600})

    def login(self, asked, query, body):
        data = asked["data"]
        parameters = data.get("SESSION_PARAMETERS") or {}
        database = query.get("databaseName", [""])[0]
        faults = json.loads(parameters.get("DAYGRAIN_FAULTS") or "[]")
        with lock:
            log.append({
                "database": database, "login": data["LOGIN_NAME"], "parameters": parameters,
                "role": query.get("roleName", [None])[0], "warehouse": query.get("warehouse", [None])[0],
                "authenticator": data.get("AUTHENTICATOR"),
            } | ({"token": data["TOKEN"]} if "TOKEN" in data else {}))
        fault = fault_for(database, faults, "login")
        if fault in ("429", "503"):
            return self.reply(int(fault), b"not now")
        if fault == "drop":
            return self.drop()
        if fault == "refuse":
            return self.reply(200, {"data": None, "code": "390100", "message": "Incorrect username or password was specified.", "success": False})
        status, content = forward(database, self.path, self.headers, body)
        token = json.loads(content)["data"]["token"]
        sessions[token] = {
            "database": database, "faults": faults, "alive": True, "begun": False, "busy": False, "last": 0.0, "before": "",
            "lock_timeout": parameters.get("LOCK_TIMEOUT", 43200),
        }
        return self.reply(status, content)

    def statement(self, sql, request_id, body):
        session = sessions.get(self.token())
        if session is None or not session["alive"]:
            return self.reply(200, EXPIRED)
        with lock:
            log.append({"database": session["database"], "session": self.token()[:8], "sql": sql})
        fault = fault_for(session["database"], session["faults"], sql, session["before"])
        session["before"] = sql
        if fault in ("429", "503"):
            return self.reply(int(fault), b"not now")
        if fault == "drop":
            return self.drop()
        if fault == "expire":
            session["alive"] = False
            return self.reply(200, EXPIRED)
        if UNKNOWN.match(sql):
            return self.reply(200, done())
        if fault == "slow":
            return self.slow(request_id)
        if fault in ("async", "expire-async"):
            return self.later(session, fault, body)
        if shown := shown_dynamic_tables(sql):
            return self.reply(200, shown)
        if "current_transaction()" in sql.lower():
            return self.reply(200, done(["1" if session["begun"] else None]))
        session["busy"] = True
        try:
            self.run(session, fault, sql, request_id, body)
        finally:
            session.update(busy=False, last=time.monotonic())

    def run(self, session, fault, sql, request_id, body):
        token = self.token()
        changed = CHANGES.match(sql)
        if changed:
            table = changed.group(1).lower()
            if not locks.take(token, table, session["lock_timeout"]):
                return self.failed("000625", "57014", f"Statement '{request_id}' has locked table '{table}' and this lock has not yet been released.")
        if BEGINS.match(sql):
            session["begun"] = True
        if made := STAGE.match(sql):
            stages[session["database"], made["name"].split(".")[-1].lower()] = made["url"].rstrip("/")
        if copied := COPY.match(sql):
            return self.reply(200, self.copy(session, copied, json.loads(body)))
        status, content = forward(session["database"], self.path, self.headers, understood(body))
        if ENDS.match(sql):
            session["begun"] = False
        if not session["begun"]:
            locks.free(token)
        if fault == "lose-session":
            session["alive"] = False
        if fault in ("lose", "lose-session"):
            return self.drop()
        if status != 200:
            return self.reply(status, content)
        reply = translated(json.loads(content))
        self.reply(status, with_dynamic_tables(reply) if sql.lstrip().startswith("show objects") else reply)

    def copy(self, session, copied, asked):
        rows = []
        for literal in TEXT.findall(copied["files"]):
            asked["sqlText"] = LEFT_OUT.sub("", f"{copied['head']}({literal}){copied['tail']}")
            _, content = forward(session["database"], self.path, self.headers, json.dumps(asked).encode())
            reply = translated(json.loads(content))
            if not reply["success"]:
                reply["message"] = place_of(session["database"], asked["sqlText"], literal, reply["message"])
                return reply
            rows += reply["data"]["rowset"]
        reply["data"].update(rowset=rows, returned=len(rows), total=len(rows))
        return reply

    def slow(self, request_id):
        with lock:
            event = aborted.setdefault(request_id, threading.Event())
        event.wait(60)
        self.failed(*CANCELLED)

    def failed(self, code, state, message):
        query_id = str(uuid.uuid4())
        return self.reply(200, {
            "data": {"queryId": query_id, "errorCode": code, "sqlState": state},
            "code": code, "sqlState": state, "message": message, "success": False,
        })

    def later(self, session, fault, body):
        query_id = str(uuid.uuid4())
        results[query_id] = None
        path, headers = self.path, dict(self.headers.items())

        def run():
            time.sleep(0.3)
            _, content = forward(session["database"], path, headers, body)
            results[query_id] = translated(json.loads(content))

        threading.Thread(target=run, daemon=True).start()
        if fault == "expire-async":
            session["alive"] = False
        return self.reply(200, {
            "data": {"queryId": query_id, "getResultUrl": f"/queries/{query_id}/result", "queryAbortsAfterSecs": 300},
            "code": "333334", "message": "Query execution in progress. Asynchronous execution mode", "success": True,
        })


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    import signal

    def stop(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    number = int(sys.argv[2]) if len(sys.argv) > 2 else max(2, min(4, os.cpu_count() or 1))
    fakesnows = [Fakesnow() for _ in range(number)]
    atexit.register(lambda: [home.child.terminate() for home in fakesnows])
    for home in fakesnows:
        home.wait()
    server = Server(("127.0.0.1", int(sys.argv[1])), Proxy)
    print(f"Running on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
