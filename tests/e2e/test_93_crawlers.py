"""Crawlers that say who they are: by the names of their addresses, by lists that they publish; and those who lie."""
import json

from harness import Origin, Sallyport, command, eventually, plain, response, says
from nameserver import NameServer, wire_name
from test_58_metrics import scrape
from test_91_bots import HTML, question, recorded

PTR = 12
AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def test_crawlers_are_asked_after():
    with Origin(says(response(200, b"inside"))) as origin, NameServer() as names:
        zone = names.zone
        zone["7.2.0.192.in-addr.arpa", PTR] = (60, [wire_name("crawl-7.googlebot.com")])
        names.point("crawl-7.googlebot.com", "192.0.2.1", "192.0.2.7", ttl=60)
        zone["8.2.0.192.in-addr.arpa", PTR] = (60, [wire_name("crawl-7.googlebot.com")])  # says so, and is not
        zone["9.2.0.192.in-addr.arpa", PTR] = (60, [wire_name("crawl.evilgooglebot.com")])
        names.point("crawl.evilgooglebot.com", "192.0.2.9", ttl=60)
        six = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        zone[six, PTR] = (60, [wire_name("other.example"), wire_name("six.googlebot.com")])
        names.point("six.googlebot.com", "2001:db8::3", ttl=60)
        server = {"trusted_proxies": ["127.0.0.0/8"], "workers": 2, "resolver": [names.address],
                  "metrics": "127.0.0.1:0"}
        bots = {"mode": "block", "threshold": {"challenge": 10, "block": 70}, "difficulty": 8, "honeypots": ["/trap"],
                "crawlers": {"listed": {"agent": "ListedBot", "lists": ["listed"]}}}
        config = plain(origin, server, bots=bots)
        config["lists"] = {"listed": {"ips": ["198.51.100.0/24"]}}
        with Sallyport(config) as gateway:
            def ask(address, agent=AGENT, path="/"):
                return recorded(gateway, path=path, fields=[("User-Agent", agent), ("X-Forwarded-For", address), *HTML])

            def outcome(address, agent=AGENT):
                return ask(address, agent)[1]["bots"]["outcome"]

            # Nobody waits for a name server: the first is asked to come again.
            page, record = ask("192.0.2.7")
            assert (page.status, record["bots"]["outcome"]) in ((503, "challenge"), (200, "verified"))
            if page.status == 503:
                assert page.get("retry-after") == "10"
            eventually(lambda: outcome("192.0.2.7") == "verified", what="the crawler")
            page, record = ask("192.0.2.7")
            assert page.status == 200 and record["bots"]["verified"] == "googlebot" and record["bots"]["reasons"] == []
            eventually(lambda: outcome("2001:db8::3") == "verified", what="the crawler by IPv6")
            for liar in ("192.0.2.8", "192.0.2.9", "192.0.2.10"):
                eventually(lambda: outcome(liar) == "deny", what=liar)
                reasons = {r["reason"] for r in ask(liar)[1]["bots"]["reasons"]}
                assert reasons == {"agent-robot", "crawler-false"}
            assert names.count("9.2.0.192.in-addr.arpa") == 1 and names.count("crawl.evilgooglebot.com") == 0
            # Another's name proves nothing, and what is cached is asked once.
            assert ask("192.0.2.7", "bingbot/2.0")[0].status == 503
            assert names.count("crawl-7.googlebot.com") == 2  # of two addresses
            # By a list; a list that knows others makes a liar.
            assert outcome("198.51.100.5", "listedbot/1.0") == "verified"
            assert outcome("192.0.2.7", "listedbot/1.0") == "deny"
            # What is told of an address, and of all.
            asked = question(gateway, fields=[("User-Agent", "x-crawler/1"), ("X-Forwarded-For", "203.0.113.5")])
            assert asked.page.status == 403
            done = command("ip", "why", "203.0.113.5", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
            said = json.loads(done.stdout)["bots"]
            assert said["score"] == 20 and said["challenged"] == 1 and said["passed"] == 0
            done = command("ip", "why", "203.0.113.5", "-c", gateway.config_path, cwd=gateway.folder)
            assert "score 20 of 100 (last: agent-robot 20), challenged 1 times lately" in done.stdout, done.stdout
            said = command("status", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
            assert said.returncode == 0


def test_a_name_server_that_is_silent_makes_no_liar():
    with Origin(says(response(200, b"inside"))) as origin, NameServer() as names:
        names.how = lambda query, kind: query.answer(code=2)
        server = {"trusted_proxies": ["127.0.0.0/8"], "resolver": [names.address]}
        with Sallyport(plain(origin, server, bots={"mode": "block", "threshold": {"block": 50}})) as gateway:
            def ask():
                return recorded(gateway, fields=[("User-Agent", AGENT), ("X-Forwarded-For", "192.0.2.7")])
            assert ask()[0].status == 200
            eventually(lambda: any(asked[1] == PTR for asked in names.asked), what="the question")
            for _ in range(5):
                page, record = ask()
                assert page.status == 200 and [r["reason"] for r in record["bots"]["reasons"]] == ["agent-robot"]


def test_metrics_tell_of_bots():
    with Origin(says(response(200, b"inside"))) as origin:
        attack = {"mode": "auto", "requests": "1/s", "learn": False}
        config = plain(origin, {"metrics": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"]},
                       bots={"mode": "challenge", "attack": attack})
        with Sallyport(config) as gateway:
            def read():
                status, body = scrape(gateway)[:2]
                return body if isinstance(body, str) else body.decode()
            for _ in range(12):
                gateway.ask(fields=HTML)
            eventually(lambda: 'sallyport_bots_total{event="challenged"} ' in read(), what="the counter")
            text = read()
            assert 'sallyport_bots_under_attack{route="* default"} 1' in text, text
            assert 'sallyport_bots_total{event="challenged"} 0' not in text
