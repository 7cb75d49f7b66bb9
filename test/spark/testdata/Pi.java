import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

/** A batch job: how many of random points in a square are in its circle. Arguments: the number of tasks; "fail" to fail after the work. */
public final class Pi {
  private static final int POINTS = 100_000;

  private Pi() {}

  public static void main(String[] args) {
    int tasks = Integer.parseInt(args[0]);
    try (JavaSparkContext context = new JavaSparkContext(new SparkConf().setAppName("pi"))) {
      List<Integer> seeds = new ArrayList<>();
      for (int i = 0; i < tasks; i++) {
        seeds.add(i);
      }
      int inside = context.parallelize(seeds, tasks).map(Pi::inside).reduce(Integer::sum);
      System.out.println("Pi is roughly " + 4.0 * inside / (tasks * (double) POINTS));
      if (args.length > 1 && args[1].equals("fail")) {
        throw new IllegalStateException("as ordered");
      }
    }
  }

  private static int inside(int seed) {
    Random random = new Random(seed);
    int n = 0;
    for (int i = 0; i < POINTS; i++) {
      double x = random.nextDouble() * 2 - 1;
      double y = random.nextDouble() * 2 - 1;
      if (x * x + y * y <= 1) {
        n++;
      }
    }
    return n;
  }
}
