package com.berthdata.berth.spark;

import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Ends the driver's process, whichever program runs in it. */
final class ProcessEnding implements Session.Ending {
  /** Of a driver that a newer attempt has replaced. */
  static final int SUPERSEDED = 79;
  /** As after SIGTERM. */
  static final int ENDED = 143;

  private static final Logger LOG = LoggerFactory.getLogger(ProcessEnding.class);

  private final long graceMs;
  private final AtomicBoolean begun = new AtomicBoolean();

  ProcessEnding(long graceMs) {
    this.graceMs = graceMs;
  }

  /** Without shutdown hooks: those of Spark would write to the checkpoint that is another's now. */
  @Override
  public void superseded(String why) {
    String text = "this driver is superseded by a newer attempt and halts: " + why;
    LOG.error(text);
    System.err.println(text); // the logger may not have written it yet
    Runtime.getRuntime().halt(SUPERSEDED);
  }

  /** With them, as SIGTERM does: streaming contexts stop first, gracefully where that is set. */
  @Override
  public void ended(String why) {
    if (!begun.compareAndSet(false, true)) {
      return;
    }
    LOG.error("the application was killed or has ended, this driver stops: {}", why);
    // Exiting joins hooks that may wait for the calling thread.
    daemon("berth-exit", () -> System.exit(ENDED));
    daemon("berth-halt", () -> {
      try {
        Thread.sleep(graceMs);
      } catch (InterruptedException e) {
        LOG.warn("interrupted while the driver stops");
      }
      System.err.println("the driver did not stop within " + graceMs + " ms and halts");
      Runtime.getRuntime().halt(ENDED);
    });
  }

  private static void daemon(String name, Runnable run) {
    Thread t = new Thread(run, name);
    t.setDaemon(true);
    t.start();
  }
}
