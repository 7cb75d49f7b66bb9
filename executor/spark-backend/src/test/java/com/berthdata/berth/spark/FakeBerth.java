package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A scheduler whose every answer a test decides: each request waits in a queue until it is answered. */
final class FakeBerth implements AutoCloseable {
  static final ObjectMapper JSON = new ObjectMapper();
  private static final long WAIT_S = 30;

  /** A request that waits for its answer. */
  static final class Request {
    final String method;
    final String path;
    final String token;
    final JsonNode body;
    private final HttpExchange exchange;

    Request(HttpExchange exchange) throws IOException {
      this.exchange = exchange;
      method = exchange.getRequestMethod();
      path = exchange.getRequestURI().getPath();
      token = exchange.getRequestHeaders().getFirst("Authorization");
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[4096];
      try (InputStream in = exchange.getRequestBody()) {
        for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
          out.write(buffer, 0, n);
        }
      }
      body = JSON.readTree(out.toByteArray());
    }

    /** The last part of the path; "apps" is a registration. */
    String call() {
      return path.substring(path.lastIndexOf('/') + 1);
    }

    Request header(String name, String value) {
      exchange.getResponseHeaders().set(name, value);
      return this;
    }

    void answer(int status, String json) {
      byte[] b = json.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
      try {
        exchange.sendResponseHeaders(status, b.length == 0 ? -1 : b.length);
        exchange.getResponseBody().write(b);
      } catch (IOException e) {
        // the client has gone, as some tests want it
      } finally {
        exchange.close();
      }
    }

    void ok(String json) {
      answer(200, json);
    }

    void problem(int status, String code) {
      answer(status, "{'status':" + status + ",'code':'" + code + "','detail':'because of the test'}");
    }

    /** Ends the connection without an answer. */
    void drop() {
      exchange.close();
    }
  }

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final BlockingQueue<Request> requests = new LinkedBlockingQueue<>();

  FakeBerth() throws IOException {
    this(HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0));
  }

  FakeBerth(HttpServer server) {
    this.server = server;
    server.setExecutor(threads);
    server.createContext("/", e -> requests.add(new Request(e)));
    server.start();
  }

  String authority() {
    return "127.0.0.1:" + server.getAddress().getPort();
  }

  String url() {
    return "http://" + authority();
  }

  /** The next request, whichever it is. */
  Request next() throws InterruptedException {
    Request r = requests.poll(WAIT_S, TimeUnit.SECONDS);
    if (r == null) {
      throw new AssertionError("no request within " + WAIT_S + " s");
    }
    return r;
  }

  /** The next request of a kind; others are answered on the way: there is nothing new. */
  Request next(String call) throws InterruptedException {
    while (true) {
      Request r = next();
      if (r.call().equals(call)) {
        return r;
      }
      if (!r.call().equals("sync")) {
        throw new AssertionError("want " + call + ", got " + r.method + " " + r.path + " " + r.body);
      }
      r.ok("{'epoch':1,'events':[],'targetGeneration':" + r.body.path("generation").asLong() + "}");
    }
  }

  int waiting() {
    return requests.size();
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
