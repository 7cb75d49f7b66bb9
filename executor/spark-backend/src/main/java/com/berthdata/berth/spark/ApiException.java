package com.berthdata.berth.spark;

/** An answer other than 200, or none. The kinds are what docs/spark-protocol.md tells apart. */
final class ApiException extends Exception {
  private static final long serialVersionUID = 1L;

  enum Kind {
    /** Berth understood the request and does not carry it out; repeating it is of no use. */
    REFUSED,
    /** The token is not taken. */
    UNAUTHORIZED,
    /** Berth does not know this driver as registered. */
    UNKNOWN,
    /** A newer attempt owns the application. */
    SUPERSEDED,
    /** The application was killed or has ended. */
    ENDED,
    /** Anything else: no answer, an unreadable one, a busy or leaderless Berth. */
    UNAVAILABLE,
  }

  final Kind kind;
  /** What the server asks to wait, in ms; 0: nothing. */
  final long retryAfterMs;

  ApiException(Kind kind, String message, long retryAfterMs) {
    super(message);
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}
