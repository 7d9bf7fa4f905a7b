DROP FUNCTION hand_out_deliveries(integer, integer, interval, boolean, boolean);
